"""What flows between the rooms of the house: frozen dataclasses that check their shapes, and their file formats."""

from res3d.ops.rle import Rle
from res3d.structures.category import COCO_KEYPOINTS, COCO_PERSON, Category
from res3d.structures.clip_detections import ClipDetections
from res3d.structures.clip_features import ClipFeatures, ClipFeaturesWriter
from res3d.structures.frame_detections import FrameDetections
from res3d.structures.frame_tracks import FrameTracks
from res3d.structures.track import Track
from res3d.structures.video_tracks import VideoTracks

__all__ = [
    "COCO_KEYPOINTS",
    "COCO_PERSON",
    "Category",
    "ClipDetections",
    "ClipFeatures",
    "ClipFeaturesWriter",
    "FrameDetections",
    "FrameTracks",
    "Rle",
    "Track",
    "VideoTracks",
]
