"""Data: for now, synthetic videos and clips with exact ground truth."""

from res3d.data.synthetic import CATEGORIES, CLASSES, KEYPOINTS, SyntheticFrame, SyntheticVideo
from res3d.data.synthetic_clips import HEADINGS, SyntheticClips

__all__ = ["CATEGORIES", "CLASSES", "HEADINGS", "KEYPOINTS", "SyntheticClips", "SyntheticFrame", "SyntheticVideo"]
