"""From detections to tracks: costs, assignment, linking, and videos from end to end. The detector is handed in."""

from res3d.tracking.frame_linker import FrameLinker
from res3d.tracking.link import link_detections, link_tubes, stream_detections, stream_tubes
from res3d.tracking.mixed_cost import CostTerm
from res3d.tracking.settings import PRESETS, LinkSettings
from res3d.tracking.track_video import check_clips, stream_video, track_video
from res3d.tracking.tube_linker import TubeLinker

__all__ = [
    "PRESETS",
    "CostTerm",
    "FrameLinker",
    "LinkSettings",
    "TubeLinker",
    "check_clips",
    "link_detections",
    "link_tubes",
    "stream_detections",
    "stream_tubes",
    "stream_video",
    "track_video",
]
