"""Clips as data: which frames of a video make a clip, and how their pixels are prepared for a model."""

from res3d.clips.preprocess import KINETICS, Preprocessing
from res3d.clips.sampler import ClipSampler, SegmentSampler
from res3d.clips.spec import VIEWS, ClipSpec

__all__ = ["KINETICS", "VIEWS", "ClipSampler", "ClipSpec", "Preprocessing", "SegmentSampler"]
