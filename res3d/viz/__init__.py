"""Pictures of tracks and networks. OpenCV, which draws videos and contact sheets, needs the system's libGL."""

from res3d.viz.annotated_video import annotate_video
from res3d.viz.contact_sheet import SpreadPictures, write_contact_sheet
from res3d.viz.network_diagram import draw_network
from res3d.viz.track_painter import TrackPainter

__all__ = ["SpreadPictures", "TrackPainter", "annotate_video", "draw_network", "write_contact_sheet"]
