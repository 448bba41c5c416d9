"""Reading video files with exact frame times, streaming them as clips, and writing them."""

from res3d.clips import KINETICS, ClipSampler, Preprocessing
from res3d.video.clip_stream import (
    Clip,
    ClipAssembler,
    ClipStream,
    FramePlace,
    StreamFrame,
    batched,
    stack_clips,
    to_planes,
)
from res3d.video.errors import TruncatedVideoError, VideoError
from res3d.video.prefetch import StreamStoppedError
from res3d.video.reader import MIN_FPS, TimedFrame, VideoInfo, VideoReader
from res3d.video.writer import VideoWriter

__all__ = [
    "KINETICS",
    "MIN_FPS",
    "Clip",
    "ClipAssembler",
    "ClipSampler",
    "ClipStream",
    "FramePlace",
    "Preprocessing",
    "StreamFrame",
    "StreamStoppedError",
    "TimedFrame",
    "TruncatedVideoError",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "batched",
    "stack_clips",
    "to_planes",
]
