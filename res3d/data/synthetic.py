"""Synthetic videos with exact ground truth: textured sprites move, turn, occlude each other and leave the frame.

Videos are deterministic: the same seed and arguments give the same pixels on every machine, except for rounding
differences of trigonometric functions.
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
MIN_VISIBLE = 0.1  # share of a sprite's pixels that must be visible for the sprite to count as visible
# Keypoints (x, y) of a sprite of radius 1 around its center, y down: the center and four points on the outline.
_KEYPOINT_OFFSETS = {
    "disc": [(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)],
    "square": [(0, 0), (0, -0.8), (0.8, 0), (0, 0.8), (-0.8, 0)],
    "triangle": [(0, 0), (0, -1), (0.45, 0), (0, 0.6), (-0.45, 0)],
}
_INSET = 0.9  # scales the offsets, so that keypoints lie inside the outline

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SyntheticFrame:
    """One frame and its ground truth for N sprites in a fixed order.

    A box encloses the visible pixels of a sprite: x1 and y1 are the left and top edges of its first pixels, x2 and y2
    the right and bottom edges of its last ones. A sprite without a visible pixel has a box of zeros.
    """

    image: Image
    """[H, W, 3] RGB."""
    boxes: NDArray[np.float32]
    """[N, 4] xyxy pixels."""
    masks: NDArray[np.bool_]
    """[N, H, W], True at visible pixels."""
    visible: NDArray[np.bool_]
    """[N], True if at least one pixel is visible."""
    visibility: NDArray[np.float32]
    """[N] in 0..1, visible share of a sprite's pixels; pixels outside the frame count as hidden."""
    keypoints: NDArray[np.float32]
    """[N, K, 3] x, y, v as in COCO: v is 0 outside the frame, 1 if hidden, 2 if visible."""

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
    """Shape, motion and texture of one sprite."""

    kind: str  # one of CLASSES
    radius: float  # mean radius in pixels
    path: tuple[float, float, float, float]  # x, y at time 0 in pixels, and their speeds in pixels per second
    turn: tuple[float, float]  # angle at time 0 in radians, and its speed in radians per second
    swell: tuple[float, float]  # relative amplitude of the radius, and its frequency in Hz
    colors: tuple[tuple[int, int, int], tuple[int, int, int]]  # RGB
    texture: str  # stripes, checks or rings
    period: float  # period of the texture in pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticVideo:
    """A scene of moving sprites; ``frame(n)`` draws frame ``n``.

    Later sprites cover earlier ones. The first two sprites meet in the middle of the video, where the second occludes
    the first.

    Raises:
        ValueError: a side below 32 pixels, a number of frames, objects or frames per second that is not positive, an
            unknown kind, or another number of kinds than of objects.
    """

    seed: int = 0
    """Seed of all random choices."""
    num_frames: int = 100
    """Length in frames."""
    fps: float = 25.0
    """Frames per second."""
    size: tuple[int, int] = (240, 320)
    """(height, width) in pixels."""
    num_objects: int = 5
    """Number of sprites, N."""
    kinds: tuple[str, ...] | None = None
    """Shape of each sprite, from ``CLASSES``; None repeats ``CLASSES`` in order."""
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
        """Labels [N]: index in ``CLASSES`` plus 1."""
        return np.array([1 + CLASSES.index(sprite.kind) for sprite in self._sprites], dtype=np.int64)

    @property
    def track_ids(self) -> NDArray[np.int64]:
        """Track ids [N]: 1 to N."""
        return np.arange(1, self.num_objects + 1, dtype=np.int64)

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self.frame(number) for number in range(self.num_frames))

    def frame(self, number: int) -> SyntheticFrame:
        """Draw a frame.

        Args:
            number: frame number from 0; the frame is shown at ``number / fps`` seconds.

        Raises:
            IndexError: a number outside [0, num_frames).
        """
        if not 0 <= number < self.num_frames:
            raise IndexError(f"frame must be in [0, {self.num_frames}), not {number}")
        seconds = number / self.fps
        height, width = self.size
        image = self._background.copy()
        front = np.full(self.size, -1)  # index of the sprite that is visible at each pixel
        total_pixels = np.zeros(self.num_objects)
        points = np.zeros((self.num_objects, len(KEYPOINTS), 2))
        for n, sprite in enumerate(self._sprites):
            center, radius, angle = self._pose(sprite, seconds)
            points[n] = _keypoint_positions(sprite.kind, center, radius, angle)
            reach = int(np.ceil(radius * 1.5)) + 1
            # The canvas extends around the whole sprite, so that pixels outside the frame count as hidden.
            left, top = int(center[0]) - reach, int(center[1]) - reach
            y, x = np.mgrid[top : top + 2 * reach + 1, left : left + 2 * reach + 1] + 0.5
            u, v = _rotate(x - center[0], y - center[1], -angle)
            inside = _inside(sprite.kind, u / radius, v / radius)
            total_pixels[n] = inside.sum()
            rows = slice(max(0, -top), min(inside.shape[0], height - top))
            columns = slice(max(0, -left), min(inside.shape[1], width - left))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            mask = inside[rows, columns]
            target = (slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop))
            image[target][mask] = _texture(sprite, u[rows, columns], v[rows, columns])[mask]
            front[target][mask] = n
        masks = front == np.arange(self.num_objects)[:, None, None]
        pixels = masks.sum(axis=(1, 2))
        return SyntheticFrame(
            image=image,
            boxes=np.stack([_tight_box(mask) for mask in masks]),
            masks=masks,
            visible=pixels > 0,
            visibility=(pixels / total_pixels).astype(np.float32),
            keypoints=_keypoint_rows(points, front),
        )

    def write(self, path: str | Path) -> None:
        """Write the video as an mp4 file. An error leaves no partial file."""
        with VideoWriter(path, fps=self.fps) as writer:
            for frame in self:
                writer.write(frame.image)

    def tracks(self, name: str = "video", *, min_visible: float = MIN_VISIBLE) -> VideoTracks:
        """Return one track per sprite, with boxes, masks and keypoints.

        Args:
            name: name of the video.
            min_visible: share of a sprite's pixels that must be visible in a frame for the frame to be in its track.
                Sprites without such a frame are left out.
        """
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
        numbers = [number for number, frame in enumerate(frames) if frame.visibility[sprite] >= min_visible]
        return Track(
            id=int(self.track_ids[sprite]),
            label=int(self.labels[sprite]),
            frames=np.array(numbers, np.int64),
            boxes=np.array([frames[n].boxes[sprite] for n in numbers], np.float32).reshape(-1, 4),
            scores=np.ones(len(numbers), np.float32),
            keypoints=np.array([frames[n].keypoints[sprite] for n in numbers], np.float32).reshape(
                -1, len(KEYPOINTS), 3
            ),
            masks=tuple(Rle.encode(frames[n].masks[sprite]) for n in numbers),
        )

    def _sprite(self, rng: np.random.Generator, number: int) -> _Sprite:
        """Draw the parameters of a sprite at random."""
        height, width = self.size
        side = min(self.size)
        dark, light = rng.integers(0, 110, 3), rng.integers(140, 256, 3)
        x, y = rng.uniform(0.1, 0.9, 2) * (width, height)
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35) * side
        vx, vy = speed * np.cos(heading), speed * np.sin(heading)
        middle = self.num_frames / self.fps / 2
        if number == 0:  # the first sprite crosses the frame from left to right
            x, y, vx, vy = 0.2 * width, 0.5 * height, 0.3 * width / middle, 0.0
        elif number == 1:  # the second one meets it in the middle of the frame
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
        """Return center (x, y), radius and angle of a sprite at a time.

        Paths are reflected at a distance of one radius outside the frame.
        """
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
    """Reflect a value at the bounds of [low, high]."""
    period = 2 * (high - low)
    phase = (value - low) % period
    return low + min(phase, period - phase)


def _rotate(
    x: NDArray[np.float64], y: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotate points (x, y) around the origin by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return c * x - s * y, s * x + c * y


def _inside(kind: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether points (u, v) lie inside the upright shape of radius 1."""
    if kind == "disc":
        return u * u + v * v <= 1
    if kind == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= 0.8
    # A triangle with the tip at (0, -1) and the base from (-0.9, 0.6) to (0.9, 0.6).
    return (v <= 0.6) & (np.abs(u) <= 0.9 * (v + 1) / 1.6)


def _texture(sprite: _Sprite, u: NDArray[np.float64], v: NDArray[np.float64]) -> Image:
    """Return the colors [h, w, 3] of a sprite at its coordinates u, v [h, w].

    The pattern of two colors is fixed to the sprite. Its upper half is lighter, so that rotation is visible.
    """
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
    """Return a background [H, W, 3]: a sum of sine waves per channel, with noise."""
    y, x = np.mgrid[: size[0], : size[1]] / min(size)
    image = np.zeros((*size, 3))
    for channel in range(3):
        for _ in range(4):
            fx, fy = rng.uniform(-6, 6, 2)
            image[..., channel] += np.sin(2 * np.pi * (fx * x + fy * y) / 3 + rng.uniform(0, 2 * np.pi))
    image = 120 + 14 * image + rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _keypoint_positions(kind: str, center: NDArray[np.float64], radius: float, angle: float) -> NDArray[np.float64]:
    """Return the keypoints of a sprite, [K, 2] x, y in pixels of the frame."""
    offsets = np.array(_KEYPOINT_OFFSETS[kind]) * _INSET * radius
    x, y = _rotate(offsets[:, 0], offsets[:, 1], angle)
    return np.stack([x, y], axis=1) + center


def _keypoint_rows(points: NDArray[np.float64], front: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return keypoints [N, K, 3] with their visibility as in COCO.

    Keypoints outside the frame are (0, 0, 0). The others are x, y and 2 if their pixel shows the sprite, 1 if it shows
    another sprite or the background.

    Args:
        points: [N, K, 2] x, y in pixels.
        front: [H, W] index of the sprite that is visible at each pixel, -1 for the background.
    """
    height, width = front.shape
    rows = np.zeros((*points.shape[:2], 3), np.float32)
    # Compare in float32, the type of the result: rounding could move a point across the edge of the frame.
    for n, sprite_points in enumerate(points.astype(np.float32)):
        for k, (x, y) in enumerate(sprite_points):
            if 0 <= x < width and 0 <= y < height:
                rows[n, k] = x, y, 2 if front[int(y), int(x)] == n else 1
    return rows


def _tight_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the box [4] that encloses the pixels of a mask [H, W]; zeros for an empty mask."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        return np.zeros(4, np.float32)
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], np.float32)
