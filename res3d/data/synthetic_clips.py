"""Clips of synthetic videos with the targets that detectors train with, in any number."""

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
    """Clips [3, T, H, W] RGB in 0..1 and their targets; clip ``n`` is the same whenever it is asked for.

    In every scene two sprites meet in the middle, others cross, leave and enter; which shape a sprite has says nothing
    of what it does. Whole scenes are turned by a random quarter, so that no direction is special. Targets have boxes
    [N, T, 4] around the visible pixels, visible [N, T], labels [N], track_ids [N], masks [N, T, H, W] and keypoints
    [N, T, 5, 3].

    Raises:
        ValueError: an unknown ``labels``, or numbers out of range.
    """

    task: ClassVar[str] = "detector"

    seed: int = 0
    """Decides everything; train and test on different ones."""
    num_clips: int = 1000
    """Number of clips."""
    length: int = 8
    """Frames of a clip, T."""
    side: int = 128
    """Height and width of frames in pixels."""
    seconds: tuple[float, float] = (0.8, 0.8)
    """Least and largest time between the first frame of a clip and one after the last."""
    objects: tuple[int, int] = (2, 4)
    """Least and largest number of sprites."""
    scene: float | None = None
    """Seconds of the scene that a clip is cut from, at a random time: in long ones, sprites turn farther and are more
    often cut by the frame's edge. None: the clip is the scene, and all sprites meet in it."""
    labels: Literal["shape", "heading"] = "shape"
    """Classes: "shape" is what a sprite looks like; "heading" where it goes (``HEADINGS``), which no single frame
    shows."""
    min_visible: float = MIN_VISIBLE
    """Share of a sprite's pixels that must be seen in a frame for it to count as visible there."""

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(map(repr, LABELS))}, not {self.labels!r}")
        if self.num_clips < 1 or not 1 <= self.objects[0] <= self.objects[1]:
            raise ValueError(f"num_clips and objects must be ≥ 1 and in order, not {self.num_clips}, {self.objects}")
        if self.length < (2 if self.labels == "heading" else 1):
            raise ValueError(f"length must be ≥ 1 frame, and ≥ 2 for headings, not {self.length}")
        if not 0 < self.min_visible <= 1 or not 0 < self.seconds[0] <= self.seconds[1] < float("inf"):
            raise ValueError(
                f"min_visible must be in (0, 1], seconds > 0 and in order, not {self.min_visible} and {self.seconds}"
            )
        if self.scene is not None and not self.seconds[1] <= self.scene < float("inf"):
            raise ValueError(f"scene must be None or ≥ the {self.seconds[1]} s of the longest clip, not {self.scene!r}")

    @property
    def info(self) -> DatasetInfo:
        """The classes, and the targets that every clip has."""
        return DatasetInfo(
            num_classes=self.num_classes,
            categories=CATEGORIES
            if self.labels == "shape"
            else tuple(replace(CATEGORIES[0], name=n) for n in HEADINGS),
            targets={"masks": "N T H W", "keypoints": f"N T {len(KEYPOINTS)} 3"},
        )

    @property
    def num_classes(self) -> int:
        """Classes, with background."""
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
        """Return a hash of the settings, which decide everything."""
        return hash_files([], self)

    def _target(self, video: SyntheticVideo, frames: list[SyntheticFrame], turns: int) -> dict[str, Tensor]:
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
    """[T, H, W, 3] -> [3, T, H, W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2))).float() / 255


def _turn_points(points: NDArray[np.float32], turns: int, side: int) -> NDArray[np.float32]:
    """[..., 2] x, y after ``turns`` quarters against the clock, as ``np.rot90`` turns the picture."""
    for _ in range(turns):
        points = np.stack([points[..., 1], side - points[..., 0]], axis=-1)
    return points


def _turn_boxes(boxes: NDArray[np.float32], turns: int, side: int) -> NDArray[np.float32]:
    """[..., 4] xyxy, likewise."""
    corners = _turn_points(boxes.reshape(*boxes.shape[:-1], 2, 2), turns, side)
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)


def _headings(
    centers: NDArray[np.float32], boxes: NDArray[np.float32], visible: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """[N] labels of where objects go between the first and the last frame that show them.

    Args:
        centers: [N, T, 3] x, y, v of the keypoint in the middle, v = 0 out of the frame.
        boxes: [N, T, 4], whose middles stand in for centers out of the frame.
        visible: [N, T].
    """
    places = np.where(centers[..., 2:] > 0, centers[..., :2], (boxes[..., :2] + boxes[..., 2:]) / 2)
    first, last = visible.argmax(axis=1), visible.shape[1] - 1 - visible[:, ::-1].argmax(axis=1)
    rows = np.arange(len(places))
    dx, dy = (places[rows, last] - places[rows, first]).T
    sideways = np.abs(dx) >= np.abs(dy)
    labels: NDArray[np.int64] = np.where(sideways, np.where(dx >= 0, 1, 3), np.where(dy >= 0, 2, 4)).astype(np.int64)
    return labels
