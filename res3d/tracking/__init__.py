"""Linking of detections into tracks, frame by frame or clip by clip, for any detector.

Public names are imported on first access, so that the settings can be used without importing torch.
"""

from typing import TYPE_CHECKING

from res3d.lazy import lazy_names

if TYPE_CHECKING:
    from res3d.tracking.link import link_detections, link_tubes, stream_detections, stream_tubes
    from res3d.tracking.linker import FrameLinker, Linker, TubeLinker
    from res3d.tracking.mixed_cost import CostTerm
    from res3d.tracking.settings import PRESETS, LinkSettings
    from res3d.tracking.track_video import check_clips, stream_video, track_video

__all__ = [
    "PRESETS",
    "CostTerm",
    "FrameLinker",
    "LinkSettings",
    "Linker",
    "TubeLinker",
    "check_clips",
    "link_detections",
    "link_tubes",
    "stream_detections",
    "stream_tubes",
    "stream_video",
    "track_video",
]

__getattr__, __dir__ = lazy_names(__name__)
