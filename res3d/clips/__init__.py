"""Specs of clips: the sampling of frames from a video, and the preprocessing of their pixels for a model."""

from res3d.clips.preprocess import KINETICS, Preprocessing
from res3d.clips.sampler import ClipSampler, SegmentSampler
from res3d.clips.spec import VIEWS, ClipSpec

__all__ = ["KINETICS", "VIEWS", "ClipSampler", "ClipSpec", "Preprocessing", "SegmentSampler"]
