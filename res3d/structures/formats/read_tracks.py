"""Reader of tracks from files and folders; the format is detected from suffix and content."""

from collections.abc import Mapping
from pathlib import Path

from res3d.structures.tracks_formats import find_files, folder_suffixes, format_to_read
from res3d.structures.video_tracks import VideoTracks


def read_tracks(path: str | Path) -> dict[str, VideoTracks]:
    """Read the videos of a file of tracks, or of a folder of such files, by name.

    A ``.json`` file with the key ``videos`` is CocoVID, without it PoseTrack18. A ``.txt`` file is MOTChallenge text;
    its video gets the file's name, or NAME in the challenge's folders, NAME/gt/gt.txt. Files of formats that need an
    extra, such as tables, are read if ``path`` is the file, but skipped in a folder.

    Raises:
        FileNotFoundError: the file or folder does not exist.
        ValueError: the file has none of the formats of ``tracks_formats``, two videos have the same name, or the folder
            contains no files of tracks.
        ImportError: the format requires an extra that is not installed.
    """
    path = Path(path)
    if not path.is_dir():
        return dict(_read_file(path))
    videos: dict[str, VideoTracks] = {}
    for file in find_files(path):
        for name, video in _read_file(file).items():
            if name in videos:
                raise ValueError(f"{path}: two files hold a video {name!r}; one of them is {file}")
            videos[name] = video
    if not videos:
        raise ValueError(f"{path}: the folder contains no files of tracks ({' or '.join(folder_suffixes())})")
    return videos


def _read_file(path: Path) -> Mapping[str, VideoTracks]:
    return format_to_read(path).read(path)
