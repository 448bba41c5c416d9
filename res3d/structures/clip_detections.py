"""What a detector found in one clip: tubes, a box a frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures.arrays import check_dtypes, to_array
from res3d.structures.frame_detections import check_boxes, encode_mask
from res3d.structures.shapes import check_shapes

REQUIRED = ("boxes", "visible", "scores", "labels")
OPTIONAL = ("embeddings", "masks", "keypoints", "keypoints_scores")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipDetections:
    """D objects over the T frames of one clip; boxes are xyxy pixels of the source video.

    Raises:
        ValueError: arrays of other shapes or types, frames that do not increase, or boxes that are none.
    """

    frames: NDArray[np.int64]  # [T], of the source video, from 0
    boxes: NDArray[np.float32]  # [D, T, 4]
    visible: NDArray[np.float32]  # [D, T], probability that the object is seen
    scores: NDArray[np.float32]  # [D] in 0..1
    labels: NDArray[np.int64]  # [D]; 0 is background and does not appear
    embeddings: NDArray[np.float32] | None = None  # [D, E], appearance
    masks: tuple[tuple[Rle, ...], ...] | None = None  # D of T
    keypoints: NDArray[np.float32] | None = None  # [D, T, K, 3] x, y, v
    keypoints_scores: NDArray[np.float32] | None = None  # [D, T, K]

    def __post_init__(self) -> None:
        shapes = {"frames": "T", "boxes": "D T 4", "visible": "D T", "scores": "D", "labels": "D", "embeddings": "D E"}
        shapes |= {"keypoints": "D T K 3", "keypoints_scores": "D T K"}
        check_shapes(self, **{name: shape for name, shape in shapes.items() if getattr(self, name) is not None})
        check_dtypes(self, **dict.fromkeys(shapes.keys() - {"frames", "labels"}, np.float32))
        check_dtypes(self, frames=np.int64, labels=np.int64)
        if not len(self.frames) or self.frames[0] < 0 or (np.diff(self.frames) <= 0).any():
            raise ValueError(f"frames of a clip must be ≥ 0 and increase, not {self.frames.tolist()}")
        lengths = None if self.masks is None else [len(masks) for masks in self.masks]
        if lengths is not None and lengths != [len(self.frames)] * len(self):
            raise ValueError(f"{len(self)} tubes of {len(self.frames)} frames with masks of {lengths} frames")
        check_boxes(self.boxes)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: NDArray[Any]) -> "ClipDetections":
        """Those at ``rows``: numbers or a mask."""
        numbers = np.arange(len(self))[rows]
        names = ("boxes", "visible", "scores", "labels", "embeddings", "keypoints", "keypoints_scores")
        picked = {name: array[numbers] for name in names if (array := getattr(self, name)) is not None}
        return replace(self, **picked, masks=None if self.masks is None else tuple(self.masks[n] for n in numbers))

    @classmethod
    def from_mapping(
        cls, result: Mapping[str, Any], frames: Sequence[int], *, min_score: float = 0.0
    ) -> "ClipDetections":
        """A detector's dictionary for a clip of the given frames; of a clip padded at its end, the padding is cut off.

        Keys: boxes [D, T, 4], visible [D, T] in 0..1, scores [D], labels [D]; optionally embeddings [D, E], masks
        [D, T, 1, H, W] (taken one frame of one object at a time), keypoints [D, T, K, 3], keypoints_scores [D, T, K].
        Objects below ``min_score`` are left out, before their masks are looked at.

        Raises:
            ValueError: a key that is missing or unknown, or what the class itself refuses.
        """
        if missing := [name for name in REQUIRED if name not in result]:
            raise ValueError(f"a clip's detections lack {', '.join(missing)}; they have {', '.join(sorted(result))}")
        if unknown := sorted(set(result) - {*REQUIRED, *OPTIONAL}):
            raise ValueError(
                f"a clip's detections have no {', '.join(unknown)} (accepted: {', '.join(REQUIRED + OPTIONAL)})"
            )
        fields: dict[str, Any] = {
            name: to_array(result[name], np.int64 if name == "labels" else np.float32)
            for name in (*REQUIRED, *OPTIONAL)
            if name != "masks" and result.get(name) is not None
        }
        for name in ("boxes", "visible", "keypoints", "keypoints_scores"):
            if name in fields:
                fields[name] = fields[name][:, : len(frames)]
        clip = cls(frames=np.asarray(frames, np.int64), **fields)
        kept = np.flatnonzero(clip.scores >= min_score)
        if (masks := result.get("masks")) is None:
            return clip[kept]
        length = len(clip.frames)
        encoded = tuple(tuple(encode_mask(masks[d, t]) for t in range(length)) for d in kept.tolist())
        return replace(clip[kept], masks=encoded)
