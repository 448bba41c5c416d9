"""Data: clips of tracked videos, of labelled clips, of pictures and sensors, and made-up ones with exact truth."""

from res3d.data.facts import ClipData, Facts
from res3d.data.kinds import DATA_KINDS, DataKind
from res3d.data.synthetic import CATEGORIES, CLASSES, KEYPOINTS, SyntheticFrame, SyntheticVideo
from res3d.data.synthetic_clips import HEADINGS, SyntheticClips

__all__ = [
    "CATEGORIES",
    "CLASSES",
    "DATA_KINDS",
    "HEADINGS",
    "KEYPOINTS",
    "ClipData",
    "DataKind",
    "Facts",
    "SyntheticClips",
    "SyntheticFrame",
    "SyntheticVideo",
]
