"""Readers and writers of track files: MOTChallenge text, CocoVID JSON, PoseTrack18 JSON, tables; see ``FORMATS``."""

from res3d.structures.formats.cocovid import read_cocovid, read_cocovid_info, write_cocovid
from res3d.structures.formats.mot import read_mot, read_mot_detections, write_mot
from res3d.structures.formats.posetrack import read_posetrack, write_posetrack
from res3d.structures.formats.read_tracks import read_tracks
from res3d.structures.formats.table import from_table, to_table, write_table
from res3d.structures.tracks_formats import FORMATS, TracksFormat, find_files, format_to_read

__all__ = [
    "FORMATS",
    "TracksFormat",
    "find_files",
    "format_to_read",
    "from_table",
    "read_cocovid",
    "read_cocovid_info",
    "read_mot",
    "read_mot_detections",
    "read_posetrack",
    "read_tracks",
    "to_table",
    "write_cocovid",
    "write_mot",
    "write_posetrack",
    "write_table",
]
