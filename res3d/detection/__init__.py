"""Detection in clips: tubes of boxes, masks and keypoints by a Mask R-CNN in 3D."""

from res3d.detection.designs import DESIGNS
from res3d.detection.factory import mask_rcnn_3d
from res3d.detection.kind import DETECTOR
from res3d.detection.load import DEMO_WEIGHTS, load_detector
from res3d.detection.mask_rcnn import MaskRCNN3d
from res3d.detection.settings import DetectorSettings
from res3d.detection.spec import DetectorSpec
from res3d.weights.kinds import add_kind

__all__ = ["DEMO_WEIGHTS", "DESIGNS", "DetectorSettings", "DetectorSpec", "MaskRCNN3d", "load_detector", "mask_rcnn_3d"]

add_kind(DETECTOR)
