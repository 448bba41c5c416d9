"""Tracks from a file or folder of any of the formats, told apart by what is in them."""

from pathlib import Path

from res3d.structures.formats.cocovid import read_cocovid
from res3d.structures.formats.files import read_json
from res3d.structures.formats.mot import read_mot
from res3d.structures.formats.posetrack import read_posetrack
from res3d.structures.video_tracks import VideoTracks

SUFFIXES = (".json", ".txt")


def read_tracks(path: str | Path) -> dict[str, VideoTracks]:
    """The videos of a CocoVID or PoseTrack18 file, a MOTChallenge text file, or a folder of such files, by name.

    A ``.json`` with ``videos`` is CocoVID's, without them PoseTrack18's. A ``.txt`` is MOTChallenge text; its video has
    the file's name, or NAME in the challenge's own folders, NAME/gt/gt.txt.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a file that is none of these, two videos of one name, or a folder without files.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_file(path)
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    videos: dict[str, VideoTracks] = {}
    for file in files:
        for name, video in _read_file(file).items():
            if name in videos:
                raise ValueError(f"{path}: two files hold a video {name!r}, one is {file}")
            videos[name] = video
    if not videos:
        raise ValueError(f"{path}: a folder without tracks ({' or '.join(SUFFIXES)})")
    return videos


def _read_file(path: Path) -> dict[str, VideoTracks]:
    if path.suffix == ".json":
        if "videos" in read_json(path):
            return read_cocovid(path)
        video = read_posetrack(path)
    elif path.suffix == ".txt" or not path.exists():
        in_challenge = path.stem == "gt" and path.parent.name == "gt"
        video = read_mot(path, name=path.parent.parent.name if in_challenge else path.stem)
    else:
        raise ValueError(f"{path}: tracks are read from {', '.join(SUFFIXES)} files, not {path.suffix!r}")
    return {video.name: video}
