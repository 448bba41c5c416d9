"""Tracks from a file or folder of any format, told apart by suffix and content."""

from collections.abc import Mapping
from pathlib import Path

from res3d.structures.tracks_formats import find_files, folder_suffixes, format_to_read
from res3d.structures.video_tracks import VideoTracks


def read_tracks(path: str | Path) -> dict[str, VideoTracks]:
    """Read the videos of a file of tracks, or of a folder of such files, by name.

    A ``.json`` with ``videos`` is CocoVID's, without them PoseTrack18's. A ``.txt`` is MOTChallenge text; its video has
    the file's name, or NAME in the challenge's own folders, NAME/gt/gt.txt. Files of formats that need an extra, as
    tables do, are read when they are named, and passed over in a folder.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a file of no format of ``tracks_formats``, two videos of one name, or a folder without files.
        ImportError: the extra that the format needs is not installed.
    """
    path = Path(path)
    if not path.is_dir():
        return dict(_read_file(path))
    videos: dict[str, VideoTracks] = {}
    for file in find_files(path):
        for name, video in _read_file(file).items():
            if name in videos:
                raise ValueError(f"{path}: two files hold a video {name!r}, one is {file}")
            videos[name] = video
    if not videos:
        raise ValueError(f"{path}: a folder without tracks ({' or '.join(folder_suffixes())})")
    return videos


def _read_file(path: Path) -> Mapping[str, VideoTracks]:
    return format_to_read(path).read(path)
