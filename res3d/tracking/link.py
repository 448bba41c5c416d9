"""Functions that link the detections of a video, from frames or from clips, all at once or as a stream."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from res3d.structures import ClipDetections, FrameDetections, FrameTracks, VideoTracks
from res3d.tracking.engines import Engine, link_with_engine, make_engine
from res3d.tracking.linker import FrameLinker, TubeLinker
from res3d.tracking.settings import LinkSettings

Frames = Iterable[FrameDetections | Mapping[str, Any]]
"""Detections of each frame of a video, in order."""


def link_detections(
    frames: Frames,
    *,
    settings: LinkSettings | str = "default",
    engine: Engine | str | None = None,
    **changes: Any,
) -> VideoTracks:
    """Link the detections of a video, one entry per frame, into tracks.

    Args:
        frames: detections of each frame in order, including frames without detections. An entry is a
            ``FrameDetections``, or a mapping with boxes [D, 4] xyxy in pixels and optionally scores [D] in 0..1,
            labels [D], embeddings [D, E], masks and keypoints [D, K, 3]. Values are arrays, tensors or lists.
        settings: "default", "detect_and_track" (frame to frame, as in Detect-and-Track), or ``LinkSettings``.
        engine: a tracker of the ``trackers`` package that links the detections instead of res3d: "bytetrack", "ocsort",
            "sort", or a tracker object. Engines have their own settings: ``settings`` and ``changes`` are then refused.
        changes: settings by name that replace those of ``settings``: ``max_tracks=2``, ``max_lost=60``, ...

    Raises:
        ValueError: invalid settings; invalid detections (the message has the frame number); or detections without a
            field that a cost needs.
        ImportError: an engine whose package is not installed.
    """
    return VideoTracks.from_frames(stream_detections(frames, settings=settings, engine=engine, **changes))


def stream_detections(
    frames: Frames,
    *,
    settings: LinkSettings | str = "default",
    engine: Engine | str | None = None,
    **changes: Any,
) -> Iterator[FrameTracks]:
    """Link detections as ``link_detections`` does, as a stream: yield every frame as soon as it is final.

    Memory does not grow with the length of the video. Arguments and errors are those of ``link_detections``; invalid
    settings raise at the call, invalid detections during the iteration.
    """
    if engine is not None:
        if changes or settings != "default":
            raise ValueError(
                "an engine takes no settings of res3d: pass a tracker object with its own settings as engine"
            )
        return link_with_engine(make_engine(engine) if isinstance(engine, str) else engine, _checked(frames))
    return FrameLinker(LinkSettings.of(settings, changes)).link(_checked(frames))


def link_tubes(
    clips: Iterable[ClipDetections], *, settings: LinkSettings | str = "default", **changes: Any
) -> VideoTracks:
    """Link the tubes of overlapping clips into tracks.

    Args:
        clips: detections of each clip, in the order of their first frames, including clips without detections.
        settings, changes: as for ``link_detections``.

    Raises:
        ValueError: invalid settings, clips that are out of order, or tubes without a field that a cost needs.
    """
    return VideoTracks.from_frames(stream_tubes(clips, settings=settings, **changes))


def stream_tubes(
    clips: Iterable[ClipDetections], *, settings: LinkSettings | str = "default", **changes: Any
) -> Iterator[FrameTracks]:
    """Link tubes as ``link_tubes`` does, as a stream: yield every frame as soon as it is final.

    Memory does not grow with the length of the video. Arguments and errors are those of ``link_tubes``; invalid
    settings raise at the call, invalid clips during the iteration.
    """
    return TubeLinker(LinkSettings.of(settings, changes)).link(clips)


def _checked(frames: Frames) -> Iterator[FrameDetections]:
    """Yield the detections of every frame; errors name the frame."""
    for number, frame in enumerate(frames):
        try:
            yield frame if isinstance(frame, FrameDetections) else FrameDetections.from_mapping(frame)
        except (ValueError, TypeError) as error:
            raise ValueError(f"frame {number}: {error}") from None
