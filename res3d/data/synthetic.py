"""A synthetic video with exact ground truth: textured sprites that move, turn, hide each other and leave the frame.

Deterministic from its seed: the same arguments give the same pixels on every machine, up to rounding of trigonometry.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res3d.structures import Category, Rle, Track, VideoTracks
from res3d.structures.shapes import check_shapes
from res3d.video import VideoWriter

CLASSES = ("disc", "square", "triangle")  # labels 1, 2, 3; 0 is background
KEYPOINTS = ("center", "top", "right", "bottom", "left")
CATEGORIES = tuple(
    Category(name=name, keypoints=KEYPOINTS, skeleton=((0, 1), (0, 2), (0, 3), (0, 4))) for name in CLASSES
)
MIN_VISIBLE = 0.1  # of a sprite's pixels: with fewer it does not count as seen
# Where each keypoint sits on a sprite of radius 1, (x, y) with y down: on the outline, seen from the center.
_KEYPOINT_PLACES = {
    "disc": [(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)],
    "square": [(0, 0), (0, -0.8), (0.8, 0), (0, 0.8), (-0.8, 0)],
    "triangle": [(0, 0), (0, -1), (0.45, 0), (0, 0.6), (-0.45, 0)],
}
_INSET = 0.9  # keypoints are drawn in from the outline by this much, to lie on the sprite

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SyntheticFrame:
    """One frame and everything that is true of it, for N sprites in a fixed order.

    Boxes are tight around a sprite's visible pixels: x1, y1 the left and top edge of the first, x2, y2 the right and
    bottom edge of the last. A sprite with no visible pixel has a box of zeros.
    """

    image: Image
    """[H, W, 3] RGB."""
    boxes: NDArray[np.float32]
    """[N, 4] xyxy pixels."""
    masks: NDArray[np.bool_]
    """[N, H, W], visible pixels."""
    visible: NDArray[np.bool_]
    """[N], whether any pixel is seen."""
    visibility: NDArray[np.float32]
    """[N] in 0..1, seen share of the whole sprite's pixels, those out of the frame included."""
    keypoints: NDArray[np.float32]
    """[N, K, 3] x, y, v as in COCO: 0 out of the frame, 1 hidden, 2 seen."""

    def __post_init__(self) -> None:
        check_shapes(
            self,
            image="H W 3",
            boxes="N 4",
            masks="N H W",
            visible="N",
            visibility="N",
            keypoints=f"N {len(KEYPOINTS)} 3",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sprite:
    kind: str
    radius: float
    path: tuple[float, float, float, float]  # x, y at time 0, and their speed, pixels and pixels per second
    turn: tuple[float, float]  # angle at time 0 and its speed, radians and radians per second
    swell: tuple[float, float]  # relative amplitude and frequency (per second) of the radius
    colors: tuple[tuple[int, int, int], tuple[int, int, int]]
    texture: str
    period: float  # of the texture, pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticVideo:
    """A scene of moving sprites; ``frame(t)`` draws any frame of it.

    Sprites later in the order are in front. The first two meet in the middle of the video: one hides the other.

    Raises:
        ValueError: a size below 32 pixels, no frame, object or rate, or unknown kinds.
    """

    seed: int = 0
    """Decides everything that is random."""
    num_frames: int = 100
    """Length in frames."""
    fps: float = 25.0
    """Frames per second."""
    size: tuple[int, int] = (240, 320)
    """(height, width) in pixels."""
    num_objects: int = 5
    """Number of sprites, N."""
    kinds: tuple[str, ...] | None = None
    """Shape of each sprite, of ``CLASSES``; None goes through them in turn."""
    _sprites: tuple[_Sprite, ...] = field(init=False, repr=False, compare=False)
    _background: Image = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.size) < 32:
            raise ValueError(f"size must be ≥ 32 pixels (height, width), not {self.size!r}")
        if self.num_frames < 1 or self.num_objects < 1 or not self.fps > 0:
            raise ValueError(
                f"num_frames, num_objects and fps must be > 0, not {self.num_frames}, {self.num_objects}, {self.fps}"
            )
        if self.kinds is not None and (len(self.kinds) != self.num_objects or not set(self.kinds) <= set(CLASSES)):
            raise ValueError(f"kinds must be {self.num_objects} of {', '.join(CLASSES)}, not {self.kinds!r}")
        rng = np.random.default_rng(self.seed)
        object.__setattr__(self, "_background", _background(rng, self.size))
        object.__setattr__(self, "_sprites", tuple(self._sprite(rng, n) for n in range(self.num_objects)))

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N], 1-based numbers of ``CLASSES``."""
        return np.array([1 + CLASSES.index(sprite.kind) for sprite in self._sprites], dtype=np.int64)

    @property
    def track_ids(self) -> NDArray[np.int64]:
        """[N], from 1."""
        return np.arange(1, self.num_objects + 1, dtype=np.int64)

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self.frame(number) for number in range(self.num_frames))

    def frame(self, number: int) -> SyntheticFrame:
        """Frame ``number`` from 0, shown at ``number / fps`` seconds."""
        if not 0 <= number < self.num_frames:
            raise IndexError(f"frame must be in [0, {self.num_frames}), not {number}")
        seconds = number / self.fps
        height, width = self.size
        image = self._background.copy()
        owner = np.full(self.size, -1)
        whole = np.zeros(self.num_objects)
        places = np.zeros((self.num_objects, len(KEYPOINTS), 2))
        for n, sprite in enumerate(self._sprites):
            center, radius, angle = self._pose(sprite, seconds)
            places[n] = _place_keypoints(sprite.kind, center, radius, angle)
            reach = int(np.ceil(radius * 1.5)) + 1
            # Drawn on a canvas around the sprite, so that pixels beyond the frame's edge count as hidden.
            left, top = int(center[0]) - reach, int(center[1]) - reach
            y, x = np.mgrid[top : top + 2 * reach + 1, left : left + 2 * reach + 1] + 0.5
            u, v = _rotate(x - center[0], y - center[1], -angle)
            inside = _inside(sprite.kind, u / radius, v / radius)
            whole[n] = inside.sum()
            rows = slice(max(0, -top), min(inside.shape[0], height - top))
            columns = slice(max(0, -left), min(inside.shape[1], width - left))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            seen = inside[rows, columns]
            target = (slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop))
            image[target][seen] = _texture(sprite, u[rows, columns], v[rows, columns])[seen]
            owner[target][seen] = n
        masks = owner == np.arange(self.num_objects)[:, None, None]
        pixels = masks.sum(axis=(1, 2))
        return SyntheticFrame(
            image=image,
            boxes=np.stack([_tight_box(mask) for mask in masks]),
            masks=masks,
            visible=pixels > 0,
            visibility=(pixels / whole).astype(np.float32),
            keypoints=_keypoint_rows(places, owner),
        )

    def write(self, path: str | Path) -> None:
        """The video as an mp4; the file appears whole or not at all."""
        with VideoWriter(path, fps=self.fps) as writer:
            for frame in self:
                writer.write(frame.image)

    def tracks(self, name: str = "video", *, min_visible: float = MIN_VISIBLE) -> VideoTracks:
        """Every sprite with its boxes, masks and keypoints, in the frames that show at least ``min_visible`` of it."""
        frames = list(self)
        tracks = (self._track(n, frames, min_visible) for n in range(self.num_objects))
        return VideoTracks(
            tracks=tuple(track for track in tracks if len(track)),
            num_frames=self.num_frames,
            name=name,
            fps=self.fps,
            size=self.size,
            categories=dict(enumerate(CATEGORIES, 1)),
        )

    def _track(self, sprite: int, frames: list[SyntheticFrame], min_visible: float) -> Track:
        seen = [number for number, frame in enumerate(frames) if frame.visibility[sprite] >= min_visible]
        return Track(
            id=int(self.track_ids[sprite]),
            label=int(self.labels[sprite]),
            frames=np.array(seen, np.int64),
            boxes=np.array([frames[n].boxes[sprite] for n in seen], np.float32).reshape(-1, 4),
            scores=np.ones(len(seen), np.float32),
            keypoints=np.array([frames[n].keypoints[sprite] for n in seen], np.float32).reshape(-1, len(KEYPOINTS), 3),
            masks=tuple(Rle.encode(frames[n].masks[sprite]) for n in seen),
        )

    def _sprite(self, rng: np.random.Generator, number: int) -> _Sprite:
        height, width = self.size
        side = min(self.size)
        dark, light = rng.integers(0, 110, 3), rng.integers(140, 256, 3)
        x, y = rng.uniform(0.1, 0.9, 2) * (width, height)
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35) * side
        vx, vy = speed * np.cos(heading), speed * np.sin(heading)
        middle = self.num_frames / self.fps / 2
        if number == 0:  # crosses the frame from left to right
            x, y, vx, vy = 0.2 * width, 0.5 * height, 0.3 * width / middle, 0.0
        elif number == 1:  # and meets the second halfway
            x, y = 0.5 * width - vx * middle, 0.5 * height - vy * middle
        return _Sprite(
            kind=self.kinds[number] if self.kinds else CLASSES[number % len(CLASSES)],
            radius=rng.uniform(0.09, 0.17) * side,
            path=(float(x), float(y), float(vx), float(vy)),
            turn=(rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.5)),
            swell=(rng.uniform(0, 0.15), rng.uniform(0.1, 0.4)),
            colors=(_rgb(dark), _rgb(light)),
            texture=("stripes", "checks", "rings")[int(rng.integers(3))],
            period=rng.uniform(0.05, 0.1) * side,
        )

    def _pose(self, sprite: _Sprite, seconds: float) -> tuple[NDArray[np.float64], float, float]:
        """Center (x, y), radius and angle at a time. Paths are mirrored a radius beyond the frame's edges."""
        radius = sprite.radius * (1 + sprite.swell[0] * np.sin(2 * np.pi * sprite.swell[1] * seconds))
        x, y, vx, vy = sprite.path
        margin = sprite.radius
        center = np.array(
            [
                _mirror(x + vx * seconds, -margin, self.size[1] + margin),
                _mirror(y + vy * seconds, -margin, self.size[0] + margin),
            ]
        )
        return center, radius, sprite.turn[0] + sprite.turn[1] * seconds


def _rgb(values: NDArray[np.int64]) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in values)
    return r, g, b


def _mirror(value: float, low: float, high: float) -> float:
    """A value that bounces between two walls."""
    period = 2 * (high - low)
    phase = (value - low) % period
    return low + min(phase, period - phase)


def _rotate(
    x: NDArray[np.float64], y: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    c, s = np.cos(angle), np.sin(angle)
    return c * x - s * y, s * x + c * y


def _inside(kind: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    if kind == "disc":
        return u * u + v * v <= 1
    if kind == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= 0.8
    # A triangle with its tip at (0, -1) and its base from (-0.9, 0.6) to (0.9, 0.6).
    return (v <= 0.6) & (np.abs(u) <= 0.9 * (v + 1) / 1.6)


def _texture(sprite: _Sprite, u: NDArray[np.float64], v: NDArray[np.float64]) -> Image:
    """[h, w, 3]: two colors in a pattern fixed to the sprite; its upper half is lighter, so that turns show."""
    if sprite.texture == "stripes":
        phase = np.floor(u / sprite.period)
    elif sprite.texture == "checks":
        phase = np.floor(u / sprite.period) + np.floor(v / sprite.period)
    else:
        phase = np.floor(np.hypot(u, v) / sprite.period)
    colors = np.array(sprite.colors, dtype=np.float64)[(phase % 2).astype(int)]
    shade = np.where(v < 0, 1.0, 0.8)[..., None]
    image: Image = (colors * shade).astype(np.uint8)
    return image


def _background(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """[H, W, 3]: soft hills of color with grain."""
    y, x = np.mgrid[: size[0], : size[1]] / min(size)
    image = np.zeros((*size, 3))
    for channel in range(3):
        for _ in range(4):
            fx, fy = rng.uniform(-6, 6, 2)
            image[..., channel] += np.sin(2 * np.pi * (fx * x + fy * y) / 3 + rng.uniform(0, 2 * np.pi))
    image = 120 + 14 * image + rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _place_keypoints(kind: str, center: NDArray[np.float64], radius: float, angle: float) -> NDArray[np.float64]:
    """[K, 2] x, y in the frame."""
    places = np.array(_KEYPOINT_PLACES[kind]) * _INSET * radius
    x, y = _rotate(places[:, 0], places[:, 1], angle)
    return np.stack([x, y], axis=1) + center


def _keypoint_rows(places: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float32]:
    """[N, K, 3]: (0, 0, 0) out of frame, else x, y and 2 where the pixel there is the sprite's own, 1 if another's."""
    height, width = owner.shape
    rows = np.zeros((*places.shape[:2], 3), np.float32)
    for n, points in enumerate(places.astype(np.float32)):  # as they are given out, so that no edge is crossed
        for k, (x, y) in enumerate(points):
            if 0 <= x < width and 0 <= y < height:
                rows[n, k] = x, y, 2 if owner[int(y), int(x)] == n else 1
    return rows


def _tight_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        return np.zeros(4, np.float32)
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], np.float32)
