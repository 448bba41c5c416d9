"""What a detector found in one frame."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures.arrays import check_dtypes, to_array
from res3d.structures.shapes import check_shapes

KEYS = ("boxes", "scores", "labels", "embeddings", "masks", "keypoints", "keypoints_scores")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameDetections:
    """D objects of one frame; boxes are xyxy pixels of the source video.

    Raises:
        ValueError: arrays of other shapes or types, boxes that are not finite or have x2 < x1 or y2 < y1, or scores
            outside 0..1.
    """

    boxes: NDArray[np.float32]  # [D, 4]
    scores: NDArray[np.float32]  # [D] in 0..1
    labels: NDArray[np.int64]  # [D]; 0 is background and does not appear
    embeddings: NDArray[np.float32] | None = None  # [D, E], appearance
    masks: tuple[Rle, ...] | None = None
    keypoints: NDArray[np.float32] | None = None  # [D, K, 3] x, y, v
    keypoints_scores: NDArray[np.float32] | None = None  # [D, K]

    def __post_init__(self) -> None:
        shapes = {"boxes": "D 4", "scores": "D", "labels": "D", "embeddings": "D E", "keypoints": "D K 3"}
        shapes["keypoints_scores"] = "D K"
        check_shapes(self, **{name: shape for name, shape in shapes.items() if getattr(self, name) is not None})
        check_dtypes(self, **dict.fromkeys(shapes.keys() - {"labels"}, np.float32), labels=np.int64)
        if self.masks is not None and len(self.masks) != len(self):
            raise ValueError(f"{len(self)} boxes with {len(self.masks)} masks")
        check_boxes(self.boxes)
        if len(self) and not (self.scores.min() >= 0 and self.scores.max() <= 1):
            raise ValueError(f"scores must be in 0..1, not from {self.scores.min()} to {self.scores.max()}")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: NDArray[Any]) -> "FrameDetections":
        """Those at ``rows``: numbers or a mask."""
        numbers = np.arange(len(self))[rows]
        arrays = {name: getattr(self, name) for name in KEYS if name != "masks" and getattr(self, name) is not None}
        picked = {name: array[numbers] for name, array in arrays.items()}
        return replace(self, **picked, masks=None if self.masks is None else tuple(self.masks[n] for n in numbers))

    @classmethod
    def from_mapping(cls, result: Mapping[str, Any]) -> "FrameDetections":
        """A detector's dictionary, as torchvision's models give it, in arrays, tensors or lists.

        Keys: boxes [D, 4] xyxy, scores [D] (1 if absent), labels [D] (1 if absent); optionally embeddings [D, E], masks
        ([D, H, W] or [D, 1, H, W], probabilities or bool, or a sequence of ``Rle``), keypoints [D, K, 3] and
        keypoints_scores [D, K].

        Raises:
            ValueError: no boxes, an unknown key, or what the class itself refuses.
        """
        if unknown := sorted(set(result) - set(KEYS)):
            raise ValueError(f"detections have no {', '.join(map(repr, unknown))} (accepted: {', '.join(KEYS)})")
        if "boxes" not in result:
            raise ValueError(f"detections must have boxes; these have {', '.join(sorted(result)) or 'nothing'}")
        boxes = to_array(result["boxes"], np.float32)
        boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
        fields: dict[str, Any] = {
            "scores": np.ones(len(boxes), np.float32),
            "labels": np.ones(len(boxes), np.int64),
        }
        for name in ("scores", "labels", "embeddings", "keypoints", "keypoints_scores"):
            if result.get(name) is not None:
                fields[name] = to_array(result[name], np.int64 if name == "labels" else np.float32)
        if result.get("masks") is not None:
            fields["masks"] = tuple(encode_mask(mask) for mask in result["masks"])
        return cls(boxes=boxes, **fields)


def encode_mask(mask: Any) -> Rle:
    """[H, W] or [1, H, W], bool or probabilities (inside from 0.5 on), or a mask that is encoded already."""
    if isinstance(mask, Rle):
        return mask
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    inside = mask if mask.dtype == bool or str(mask.dtype) == "torch.bool" else mask >= 0.5
    return Rle.encode(to_array(inside, bool))


def check_boxes(boxes: NDArray[np.float32]) -> None:
    """ValueError for boxes [..., 4] that are not finite, or whose corners are the wrong way round; names the first."""
    wrong = ~(np.isfinite(boxes).all(axis=-1) & (boxes[..., 2:] >= boxes[..., :2]).all(axis=-1))
    if wrong.any():
        raise ValueError(
            f"a box must be finite x1, y1, x2, y2 with x1 ≤ x2 and y1 ≤ y2, not {boxes[wrong][0].tolist()}"
        )
