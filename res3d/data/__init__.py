"""Data: for now, synthetic videos with exact ground truth."""

from res3d.data.synthetic import CLASSES, KEYPOINTS, SyntheticFrame, SyntheticVideo

__all__ = ["CLASSES", "KEYPOINTS", "SyntheticFrame", "SyntheticVideo"]
