"""Pictures of tracks: annotated videos and contact sheets. OpenCV, which draws, needs the system's libGL."""

from res3d.viz.annotated_video import annotate_video
from res3d.viz.contact_sheet import SpreadPictures, write_contact_sheet
from res3d.viz.track_painter import TrackPainter

__all__ = ["SpreadPictures", "TrackPainter", "annotate_video", "write_contact_sheet"]
