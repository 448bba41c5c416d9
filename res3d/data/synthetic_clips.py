"""Clips of synthetic videos with targets for the training of detectors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from res3d.data.dataset_info import DatasetInfo
from res3d.data.fingerprint import hash_files
from res3d.data.synthetic import CATEGORIES, CLASSES, KEYPOINTS, MIN_VISIBLE, SyntheticFrame, SyntheticVideo

HEADINGS = ("right", "down", "left", "up")  # labels 1 to 4
LABELS: Mapping[str, tuple[str, ...]] = {"shape": CLASSES, "heading": HEADINGS}


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticClips(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Clips [3, T, H, W] RGB in 0..1 of ``SyntheticVideo`` scenes, and their targets.

    Clip ``n`` depends on the settings and ``n`` only. In every scene two sprites meet in the middle of the video;
    others cross, leave and enter the frame. The shape of a sprite is independent of its motion. Each scene is rotated
    by a random multiple of 90 degrees, so that no direction is preferred.

    A target has boxes [N, T, 4] around the visible pixels, visible [N, T], labels [N], track_ids [N], masks
    [N, T, H, W] and keypoints [N, T, 5, 3].

    Raises:
        ValueError: an unknown value of ``labels``, or a field out of range.
    """

    task: ClassVar[str] = "detector"

    seed: int = 0
    """Seed of all random choices; use different seeds for training and validation."""
    num_clips: int = 1000
    """Number of clips."""
    length: int = 8
    """Frames per clip, T."""
    side: int = 128
    """Height and width of frames in pixels."""
    seconds: tuple[float, float] = (0.8, 0.8)
    """Shortest and longest duration of a clip: ``length`` divided by the frames per second."""
    objects: tuple[int, int] = (2, 4)
    """Smallest and largest number of sprites."""
    scene: float | None = None
    """Seconds of the scene that a clip is cut from at a random time. In long scenes sprites turn farther and are more
    often cut off by the edge of the frame. None: the clip is the whole scene, with the meeting of two sprites."""
    labels: Literal["shape", "heading"] = "shape"
    """Classes: "shape" is the shape of a sprite (``CLASSES``); "heading" is its direction of motion (``HEADINGS``),
    which cannot be told from a single frame."""
    min_visible: float = MIN_VISIBLE
    """Share of a sprite's pixels that must be visible in a frame for the sprite to count as visible there."""

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(map(repr, LABELS))}, not {self.labels!r}")
        if self.num_clips < 1 or not 1 <= self.objects[0] <= self.objects[1]:
            raise ValueError(
                f"num_clips must be ≥ 1 and objects two numbers ≥ 1, the smaller one first, not {self.num_clips} and "
                f"{self.objects}"
            )
        if self.length < (2 if self.labels == "heading" else 1):
            raise ValueError(f"length must be ≥ 1 frame, and ≥ 2 with labels 'heading', not {self.length}")
        if not 0 < self.min_visible <= 1 or not 0 < self.seconds[0] <= self.seconds[1] < float("inf"):
            raise ValueError(
                "min_visible must be in (0, 1] and seconds two numbers > 0, the smaller one first, not "
                f"{self.min_visible} and {self.seconds}"
            )
        if self.scene is not None and not self.seconds[1] <= self.scene < float("inf"):
            raise ValueError(f"scene must be None or ≥ {self.seconds[1]} s, the longest clip, not {self.scene!r}")

    @property
    def info(self) -> DatasetInfo:
        """The classes and the shapes of the targets."""
        return DatasetInfo(
            num_classes=self.num_classes,
            categories=CATEGORIES
            if self.labels == "shape"
            else tuple(replace(CATEGORIES[0], name=n) for n in HEADINGS),
            targets={"masks": "N T H W", "keypoints": f"N T {len(KEYPOINTS)} 3"},
        )

    @property
    def num_classes(self) -> int:
        """Number of classes, including the background."""
        return 1 + len(LABELS[self.labels])

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        if not 0 <= number < self.num_clips:
            raise IndexError(f"clip must be in [0, {self.num_clips}), not {number}")
        rng = np.random.default_rng([self.seed, number])
        objects = int(rng.integers(self.objects[0], self.objects[1] + 1))
        seed, fps = int(rng.integers(1 << 31)), self.length / float(rng.uniform(*self.seconds))
        num_frames = self.length if self.scene is None else int(self.scene * fps + 1e-9)
        video = SyntheticVideo(
            seed=seed,
            num_frames=num_frames,
            fps=fps,
            size=(self.side, self.side),
            num_objects=objects,
            kinds=tuple(CLASSES[i] for i in rng.integers(len(CLASSES), size=objects)),
        )
        turns = int(rng.integers(4))
        start = int(rng.integers(num_frames - self.length + 1))
        frames = [video.frame(start + t) for t in range(self.length)]
        clip = np.stack([np.rot90(frame.image, turns) for frame in frames])
        return _to_pixels(clip), self._target(video, frames, turns)

    def fingerprint(self) -> str:
        """Return a hash of the settings, which determine all clips."""
        return hash_files([], self)

    def _target(self, video: SyntheticVideo, frames: list[SyntheticFrame], turns: int) -> dict[str, Tensor]:
        """Return the target of a clip that is rotated by ``turns`` quarter turns."""
        visible = np.stack([frame.visibility >= self.min_visible for frame in frames], axis=1)
        boxes = _turn_boxes(np.stack([frame.boxes for frame in frames], axis=1), turns, self.side)
        keypoints = np.stack([frame.keypoints for frame in frames], axis=1)
        keypoints[..., :2] = _turn_points(keypoints[..., :2], turns, self.side) * (keypoints[..., 2:] > 0)
        masks = np.stack([np.rot90(frame.masks, turns, axes=(1, 2)) for frame in frames], axis=1)
        labels = video.labels if self.labels == "shape" else _headings(keypoints[:, :, 0], boxes, visible)
        return {
            "boxes": torch.from_numpy(boxes * visible[..., None]).float(),
            "visible": torch.from_numpy(visible),
            "labels": torch.from_numpy(labels),
            "track_ids": torch.from_numpy(video.track_ids),
            "masks": torch.from_numpy(np.ascontiguousarray(masks)),
            "keypoints": torch.from_numpy(keypoints),
        }


def _to_pixels(frames: NDArray[np.uint8]) -> Tensor:
    """Convert uint8 frames [T, H, W, 3] to a clip, float [3, T, H, W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2))).float() / 255


def _turn_points(points: NDArray[np.float32], turns: int, side: int) -> NDArray[np.float32]:
    """Rotate points [..., 2] by ``turns`` quarter turns counterclockwise, as ``np.rot90`` rotates the frame."""
    for _ in range(turns):
        points = np.stack([points[..., 1], side - points[..., 0]], axis=-1)
    return points


def _turn_boxes(boxes: NDArray[np.float32], turns: int, side: int) -> NDArray[np.float32]:
    """Rotate boxes [..., 4] xyxy by ``turns`` quarter turns counterclockwise."""
    corners = _turn_points(boxes.reshape(*boxes.shape[:-1], 2, 2), turns, side)
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)


def _headings(
    centers: NDArray[np.float32], boxes: NDArray[np.float32], visible: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the labels [N] of the motion of objects, from the first to the last frame in which each is visible.

    Args:
        centers: [N, T, 3] x, y, v of the center keypoint; v = 0 outside the frame.
        boxes: [N, T, 4]; their centers replace center keypoints outside the frame.
        visible: [N, T].
    """
    positions = np.where(centers[..., 2:] > 0, centers[..., :2], (boxes[..., :2] + boxes[..., 2:]) / 2)
    first, last = visible.argmax(axis=1), visible.shape[1] - 1 - visible[:, ::-1].argmax(axis=1)
    rows = np.arange(len(positions))
    dx, dy = (positions[rows, last] - positions[rows, first]).T
    sideways = np.abs(dx) >= np.abs(dy)
    labels: NDArray[np.int64] = np.where(sideways, np.where(dx >= 0, 1, 3), np.where(dy >= 0, 2, 4)).astype(np.int64)
    return labels
