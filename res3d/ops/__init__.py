"""Pure functions on boxes, tubes, masks and keypoints.

Names are imported on first use: half of them need NumPy alone, and should not wait for the import of torch.
"""

from typing import TYPE_CHECKING

from res3d.lazy import lazy_names

if TYPE_CHECKING:
    from res3d.ops.box_code import BoxCode
    from res3d.ops.keypoints import heatmaps_to_keypoints
    from res3d.ops.masks import BoxMasks, paste_masks
    from res3d.ops.nms import batched_tube_nms, tube_nms
    from res3d.ops.resampling import cubic_weights, linear_weights
    from res3d.ops.resizing import resize_boxes, size_ratios
    from res3d.ops.rle import Rle
    from res3d.ops.roi_align import TubePooler
    from res3d.ops.similarity import (
        COCO_SIGMAS,
        DEFAULT_SIGMA,
        box_area,
        box_cover,
        box_iou,
        keypoint_distance,
        mask_iou,
        oks,
        pck,
    )
    from res3d.ops.tubes import box_sizes, clip_tubes, fill_hidden, large_tubes, mean_boxes, tube_area, tube_iou

__all__ = [
    "COCO_SIGMAS",
    "DEFAULT_SIGMA",
    "BoxCode",
    "BoxMasks",
    "Rle",
    "TubePooler",
    "batched_tube_nms",
    "box_area",
    "box_cover",
    "box_iou",
    "box_sizes",
    "clip_tubes",
    "cubic_weights",
    "fill_hidden",
    "heatmaps_to_keypoints",
    "keypoint_distance",
    "large_tubes",
    "linear_weights",
    "mask_iou",
    "mean_boxes",
    "oks",
    "paste_masks",
    "pck",
    "resize_boxes",
    "size_ratios",
    "tube_area",
    "tube_iou",
    "tube_nms",
]

__getattr__, __dir__ = lazy_names(__name__)
