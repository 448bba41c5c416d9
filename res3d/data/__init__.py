"""Data: clips of tracked videos, of labelled clips, of pictures and sensors, and made-up ones with exact truth."""

from res3d.data.augment import Augmentation
from res3d.data.cifar10 import Cifar10Clips
from res3d.data.facts import ClipData, Facts
from res3d.data.kinds import DATA_KINDS, DataKind
from res3d.data.labelled_clips import LabelledClips
from res3d.data.mirror import mirror_pairs
from res3d.data.sensor_windows import SensorWindows
from res3d.data.synthetic import CATEGORIES, CLASSES, KEYPOINTS, SyntheticFrame, SyntheticVideo
from res3d.data.synthetic_clips import HEADINGS, SyntheticClips
from res3d.data.tracked_clips import TrackedClips

__all__ = [
    "CATEGORIES",
    "CLASSES",
    "DATA_KINDS",
    "HEADINGS",
    "KEYPOINTS",
    "Augmentation",
    "Cifar10Clips",
    "ClipData",
    "DataKind",
    "Facts",
    "LabelledClips",
    "SensorWindows",
    "SyntheticClips",
    "SyntheticFrame",
    "SyntheticVideo",
    "TrackedClips",
    "mirror_pairs",
]
