"""Datasets of clips: tracked videos, labelled videos, images, sensor windows and synthetic videos."""

from res3d.data.augment import Augmentation
from res3d.data.cifar10 import Cifar10Clips
from res3d.data.dataset_info import ClipData, DatasetInfo
from res3d.data.datasets import DATASETS
from res3d.data.labelled_clips import LabelledClips
from res3d.data.mirror import mirror_pairs
from res3d.data.sensor_windows import SensorWindows
from res3d.data.synthetic import CATEGORIES, CLASSES, KEYPOINTS, SyntheticFrame, SyntheticVideo
from res3d.data.synthetic_clips import HEADINGS, SyntheticClips
from res3d.data.tracked_clips import TrackedClips
from res3d.moved import moved_names

__all__ = [
    "CATEGORIES",
    "CLASSES",
    "DATASETS",
    "HEADINGS",
    "KEYPOINTS",
    "Augmentation",
    "Cifar10Clips",
    "ClipData",
    "DatasetInfo",
    "LabelledClips",
    "SensorWindows",
    "SyntheticClips",
    "SyntheticFrame",
    "SyntheticVideo",
    "TrackedClips",
    "mirror_pairs",
]

__getattr__ = moved_names(__name__)
