"""Trackers of roboflow's ``trackers`` package in place of ours: ``pip install "res3d[trackers]"``."""

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
"""Classes of the package by our names for them."""


class Engine(Protocol):
    """A tracker of that package, or one with the same method, for a single video."""

    def update(self, detections: Any) -> Any:
        """Take the ``supervision.Detections`` of a frame; return all or some with ``tracker_id``, -1 for no track."""


def make_engine(name: str) -> Engine:
    """Make a tracker by its name in ``ENGINES``, with the package's defaults.

    Raises:
        ValueError: an unknown name.
        ImportError: the package is not installed.
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
    """Yield the tracked objects of every frame; the engine's ids, from 0, become ours, from 1."""
    import supervision

    for number, given in enumerate(frames):
        found = given if isinstance(given, FrameDetections) else FrameDetections.from_mapping(given)
        rows = np.arange(len(found))
        tracked = engine.update(
            supervision.Detections(xyxy=found.boxes, confidence=found.scores, class_id=found.labels, data={"row": rows})
        )
        ids = np.asarray(tracked.tracker_id if len(tracked) else [], np.int64)
        rows = np.asarray(tracked.data["row"] if len(tracked) else [], np.int64)[ids >= 0]
        yield found[rows].convert(FrameTracks, frame=number, ids=ids[ids >= 0] + 1)
