"""Annotated videos and contact sheets of tracks, and diagrams of networks.

Drawing tracks uses supervision and OpenCV, which needs the system library libGL.
"""

from res3d.viz.annotated_video import annotate_video
from res3d.viz.contact_sheet import SpreadPictures, write_contact_sheet
from res3d.viz.network_diagram import draw_network
from res3d.viz.track_painter import TrackPainter

__all__ = ["SpreadPictures", "TrackPainter", "annotate_video", "draw_network", "write_contact_sheet"]
