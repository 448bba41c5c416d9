"""Functions that link the detections of a video: of frames or of clips, whole or as a stream."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from res3d.structures import ClipDetections, FrameDetections, FrameTracks, VideoTracks
from res3d.tracking.engines import Engine, link_with_engine, make_engine
from res3d.tracking.linker import FrameLinker, TubeLinker
from res3d.tracking.settings import LinkSettings

Frames = Iterable[FrameDetections | Mapping[str, Any]]


def link_detections(
    frames: Frames,
    *,
    settings: LinkSettings | str = "default",
    engine: Engine | str | None = None,
    **changes: Any,
) -> VideoTracks:
    """Link the detections of a video, one entry per frame, into tracks.

    Args:
        frames: for each frame in order, empty ones too, a mapping with boxes [D, 4] xyxy in pixels, and optionally
            scores [D] in 0..1, labels [D], embeddings [D, E], masks and keypoints [D, K, 3], in arrays, tensors or
            lists; or ``FrameDetections``.
        settings: "default", "detect_and_track" (frame to frame, as the original), or ``LinkSettings``.
        engine: a tracker of the ``trackers`` package in place of ours: "bytetrack", "ocsort", "sort", or a tracker
            object; it has settings of its own.
        changes: settings by name: ``max_tracks=2``, ``max_lost=60``, ``fill_gaps=0``, ...

    Raises:
        ValueError: invalid settings, or invalid detections, with the number of the frame.
    """
    return VideoTracks.from_frames(stream_detections(frames, settings=settings, engine=engine, **changes))


def stream_detections(
    frames: Frames,
    *,
    settings: LinkSettings | str = "default",
    engine: Engine | str | None = None,
    **changes: Any,
) -> Iterator[FrameTracks]:
    """Do the same as ``link_detections`` frame by frame, each as soon as it is final, in bounded memory."""
    if engine is not None:
        if changes or settings != "default":
            raise ValueError("an engine brings its own settings: give them to it, not to res3d")
        return link_with_engine(make_engine(engine) if isinstance(engine, str) else engine, _checked(frames))
    return FrameLinker(LinkSettings.of(settings, changes)).link(_checked(frames))


def link_tubes(
    clips: Iterable[ClipDetections], *, settings: LinkSettings | str = "default", **changes: Any
) -> VideoTracks:
    """Link the tubes of overlapping clips, in order, into tracks; ``settings`` and ``changes`` as in link_detections.

    Raises:
        ValueError: invalid settings, or clips out of order.
    """
    return VideoTracks.from_frames(stream_tubes(clips, settings=settings, **changes))


def stream_tubes(
    clips: Iterable[ClipDetections], *, settings: LinkSettings | str = "default", **changes: Any
) -> Iterator[FrameTracks]:
    """Do the same as ``link_tubes`` frame by frame, each as soon as it is final, in bounded memory."""
    return TubeLinker(LinkSettings.of(settings, changes)).link(clips)


def _checked(frames: Frames) -> Iterator[FrameDetections]:
    for number, found in enumerate(frames):
        try:
            yield found if isinstance(found, FrameDetections) else FrameDetections.from_mapping(found)
        except (ValueError, TypeError) as error:
            raise ValueError(f"frame {number}: {error}") from None
