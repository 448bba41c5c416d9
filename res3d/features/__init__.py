"""Features of the clips of a video."""

from res3d.features.extractor import LOGITS, FeatureExtractor, extract_features
from res3d.features.stage_times import StageTimes

__all__ = ["LOGITS", "FeatureExtractor", "StageTimes", "extract_features"]
