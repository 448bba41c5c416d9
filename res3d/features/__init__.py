"""Features of the clips of a video."""

from res3d.features.extractor import FeatureExtractor, extract_features

__all__ = ["FeatureExtractor", "extract_features"]
