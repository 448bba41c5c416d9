"""Features of the clips of a video."""

from res3d.features.extractor import LOGITS, FeatureExtractor, extract_features
from res3d.features.preparation import preprocessing_of

__all__ = ["LOGITS", "FeatureExtractor", "extract_features", "preprocessing_of"]
