"""Feature extraction from the clips of a video."""

from res3d.features.extraction_run import ExtractionRun, extract_features
from res3d.features.extractor import LOGITS, FeatureExtractor, NetworkOptions
from res3d.features.pipeline_times import PipelineTimes
from res3d.moved import moved_names

__all__ = ["LOGITS", "ExtractionRun", "FeatureExtractor", "NetworkOptions", "PipelineTimes", "extract_features"]

__getattr__ = moved_names(__name__)
