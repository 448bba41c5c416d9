"""Data that passes between packages: frozen dataclasses that check their shapes, and their file formats."""

from res3d.ops import Rle
from res3d.structures.category import COCO_KEYPOINTS, COCO_PERSON, Category
from res3d.structures.clip_detections import ClipDetections
from res3d.structures.clip_features import ClipFeatures, ClipFeaturesWriter
from res3d.structures.frame_detections import FrameDetections
from res3d.structures.frame_tracks import FrameTracks
from res3d.structures.object_fields import ObjectFields
from res3d.structures.row_fields import probability_fields
from res3d.structures.rows import ObjectRows, mask_rows, object_rows, rows, shared
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
    "ObjectFields",
    "ObjectRows",
    "Rle",
    "Track",
    "VideoTracks",
    "mask_rows",
    "object_rows",
    "probability_fields",
    "rows",
    "shared",
]
