"""Run-time settings of a detector: sizes, thresholds and counts, under torchvision's names."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSettings:
    """Settings of a built detector. "Image" in torchvision's names means a clip here, and a box a tube.

    Defaults are torchvision's, but for the overlap of anchors: a box that stands still for a whole clip fits a moving
    object worse than a single frame's.
    """

    min_size: int | tuple[int, ...] = 800
    """Frames' shorter side in pixels; in training, one of several, drawn for each clip."""
    max_size: int = 1333
    """Limit of the longer side."""
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """In the order of the network's channels."""
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    rpn_pre_nms_top_n_train: int = 2000
    """Proposals per level before non-maximum suppression."""
    rpn_pre_nms_top_n_test: int = 1000
    rpn_post_nms_top_n_train: int = 2000
    """Proposals per clip after it."""
    rpn_post_nms_top_n_test: int = 1000
    rpn_nms_thresh: float = 0.7
    rpn_fg_iou_thresh: float = 0.4
    rpn_bg_iou_thresh: float = 0.25
    rpn_batch_size_per_image: int = 256
    rpn_positive_fraction: float = 0.5
    rpn_score_thresh: float = 0.0
    box_score_thresh: float = 0.05
    box_nms_thresh: float = 0.5
    box_detections_per_img: int = 100
    box_fg_iou_thresh: float = 0.5
    box_bg_iou_thresh: float = 0.5
    box_batch_size_per_image: int = 512
    box_positive_fraction: float = 0.25
    bbox_reg_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if name.endswith(("_thresh", "_fraction")):
                if not _is_number(value) or not 0 <= value <= 1:
                    raise ValueError(f"{name} must be in [0, 1], not {value!r}")
            elif name in ("image_mean", "image_std", "bbox_reg_weights"):
                numbers = isinstance(value, (tuple, list)) and len(value) > 0 and all(map(_is_number, value))
                if not numbers or (name != "image_mean" and min(value) <= 0):
                    raise ValueError(f"{name} must be numbers{'' if name == 'image_mean' else ' > 0'}, not {value!r}")
                object.__setattr__(self, name, tuple(value))
            elif name == "min_size" and isinstance(value, (tuple, list)):
                if not value or not all(map(_is_count, value)):
                    raise ValueError(f"min_size must be whole numbers ≥ 1, not {value!r}")
                object.__setattr__(self, name, tuple(value))
            elif not _is_count(value):
                raise ValueError(f"{name} must be a whole number ≥ 1, not {value!r}")
        if len(self.image_mean) != len(self.image_std) or len(self.bbox_reg_weights) != 4:
            raise ValueError("image_mean and image_std need one number a channel, bbox_reg_weights four")
        for stage in ("rpn", "box"):
            low, high = getattr(self, f"{stage}_bg_iou_thresh"), getattr(self, f"{stage}_fg_iou_thresh")
            if low > high:
                raise ValueError(f"{stage}_bg_iou_thresh must be ≤ {stage}_fg_iou_thresh, not {low} > {high}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
