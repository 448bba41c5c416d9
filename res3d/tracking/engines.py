"""Linking by the trackers of roboflow's ``trackers`` package: ``pip install "res3d[trackers]"``."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from res3d.settings import missing_extra
from res3d.structures import FrameDetections, FrameTracks

ENGINES: Mapping[str, str] = {
    "bytetrack": "ByteTrackTracker",
    "ocsort": "OCSORTTracker",
    "sort": "SORTTracker",
}
"""Name in res3d -> class of the ``trackers`` package."""


class Engine(Protocol):
    """Tracker of a single video: one of the ``trackers`` package, or any object with the same method."""

    def update(self, detections: Any) -> Any:
        """Link the detections of the next frame.

        Args:
            detections: ``supervision.Detections``.

        Returns:
            All or some of the detections, with ``tracker_id``; -1 for a detection without a track.
        """


def make_engine(name: str) -> Engine:
    """Build a tracker by its name in ``ENGINES``, with the package's defaults.

    Raises:
        ValueError: an unknown name.
        ImportError: the ``trackers`` package is not installed.
    """
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r} (accepted: {', '.join(ENGINES)}, or a tracker)")
    try:
        import trackers
    except ImportError:
        raise missing_extra("trackers", "engines need trackers") from None
    engine: Engine = getattr(trackers, ENGINES[name])()
    return engine


def link_with_engine(engine: Engine, frames: Iterable[FrameDetections | Mapping[str, Any]]) -> Iterator[FrameTracks]:
    """Yield the tracked objects of every frame, sorted by id.

    Engines count ids from 0; the yielded ids count from 1.

    Args:
        engine: a new tracker, without detections of another video.
        frames: detections of each frame in order.

    Raises:
        ValueError: invalid detections.
    """
    import supervision

    for number, frame in enumerate(frames):
        detections = frame if isinstance(frame, FrameDetections) else FrameDetections.from_mapping(frame)
        linked = engine.update(
            supervision.Detections(
                xyxy=detections.boxes,
                confidence=detections.scores,
                class_id=detections.labels,
                data={"row": np.arange(len(detections))},
            )
        )
        ids = np.asarray(linked.tracker_id if len(linked) else [], np.int64)
        rows = np.asarray(linked.data["row"] if len(linked) else [], np.int64)
        order = np.argsort(ids)
        order = order[ids[order] >= 0]
        yield detections[rows[order]].convert(FrameTracks, frame=number, ids=ids[order] + 1)
