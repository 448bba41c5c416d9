"""``DetectorSettings``: sizes, thresholds and counts of a detector, under torchvision's names."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSettings:
    """Settings that do not change the architecture of a detector.

    In torchvision's names, an image is a clip here, and a box is a tube. Defaults are torchvision's, except for
    ``rpn_fg_iou_thresh`` and ``rpn_bg_iou_thresh``, which are lower (torchvision: 0.7 and 0.3): an anchor does not move
    in a clip, so it overlaps a moving object less than an anchor in a single frame does.
    """

    min_size: int | tuple[int, ...] = 800
    """Shorter side of the resized frames in pixels. Of several values, training draws one per clip; inference uses the
    last."""
    max_size: int = 1333
    """Maximum of the longer side in pixels."""
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of each channel, in the order of the network's input channels."""
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Standard deviation of each channel, in the same order."""
    rpn_pre_nms_top_n_train: int = 2000
    """Proposals per feature level before non-maximum suppression, in training."""
    rpn_pre_nms_top_n_test: int = 1000
    """Proposals per feature level before non-maximum suppression, at inference."""
    rpn_post_nms_top_n_train: int = 2000
    """Proposals per clip after non-maximum suppression, in training."""
    rpn_post_nms_top_n_test: int = 1000
    """Proposals per clip after non-maximum suppression, at inference."""
    rpn_nms_thresh: float = 0.7
    """IoU above which the proposal of lower objectness is dropped."""
    rpn_fg_iou_thresh: float = 0.4
    """IoU from which an anchor is positive."""
    rpn_bg_iou_thresh: float = 0.25
    """IoU below which an anchor is background."""
    rpn_batch_size_per_image: int = 256
    """Anchors per clip on which the proposal losses are computed."""
    rpn_positive_fraction: float = 0.5
    """Maximum fraction of these anchors that is positive."""
    rpn_score_thresh: float = 0.0
    """Minimum objectness of a proposal."""
    box_score_thresh: float = 0.05
    """Scores of detections are above this."""
    box_nms_thresh: float = 0.5
    """IoU above which the detection of lower score is dropped, among detections of one class."""
    box_detections_per_img: int = 100
    """Maximum number of detections per clip."""
    box_fg_iou_thresh: float = 0.5
    """IoU from which a proposal is positive."""
    box_bg_iou_thresh: float = 0.5
    """IoU below which a proposal is background."""
    box_batch_size_per_image: int = 512
    """Proposals per clip on which the losses of the heads are computed."""
    box_positive_fraction: float = 0.25
    """Maximum fraction of these proposals that is positive."""
    bbox_reg_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    """Weights of the box deltas (dx, dy, dw, dh) of the box head."""

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
        if len(self.image_mean) != len(self.image_std):
            counts = f"{len(self.image_mean)} and {len(self.image_std)}"
            raise ValueError(f"image_mean and image_std must be equally many numbers, one per channel, not {counts}")
        if len(self.bbox_reg_weights) != 4:
            raise ValueError(f"bbox_reg_weights must be 4 numbers, not {self.bbox_reg_weights!r}")
        for stage in ("rpn", "box"):
            low, high = getattr(self, f"{stage}_bg_iou_thresh"), getattr(self, f"{stage}_fg_iou_thresh")
            if low > high:
                raise ValueError(f"{stage}_bg_iou_thresh must be ≤ {stage}_fg_iou_thresh, not {low} > {high}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
