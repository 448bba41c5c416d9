"""Detection in clips: a 3D Mask R-CNN that predicts tubes of boxes, masks and keypoints."""

from res3d.detection.factory import mask_rcnn_3d
from res3d.detection.families import FAMILIES
from res3d.detection.load import DEMO_WEIGHTS, load_detector
from res3d.detection.mask_rcnn import MaskRCNN3d
from res3d.detection.settings import DetectorSettings
from res3d.detection.spec import DetectorSpec
from res3d.detection.task_head import TaskHead, TaskSpec
from res3d.moved import moved_names

__all__ = [
    "DEMO_WEIGHTS",
    "FAMILIES",
    "DetectorSettings",
    "DetectorSpec",
    "MaskRCNN3d",
    "TaskHead",
    "TaskSpec",
    "load_detector",
    "mask_rcnn_3d",
]

__getattr__ = moved_names(__name__)
