"""Video files: reading with true times, streaming as clips, writing."""

from res3d.clips import KINETICS, ClipSampler, Preprocessing
from res3d.video.errors import TruncatedVideoError, VideoError
from res3d.video.reader import MIN_FPS, TimedFrame, VideoInfo, VideoReader
from res3d.video.writer import VideoWriter

__all__ = [
    "KINETICS",
    "MIN_FPS",
    "ClipSampler",
    "Preprocessing",
    "TimedFrame",
    "TruncatedVideoError",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
]
