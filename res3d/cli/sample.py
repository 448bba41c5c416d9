"""The video that commands use when they are given none: generated, with exact ground truth."""

from pathlib import Path
from tempfile import TemporaryDirectory

from res3d.cli.command import UsageError
from res3d.data import SyntheticVideo

SAMPLE = SyntheticVideo()  # of a seed that nothing is trained on
NAME = "res3d_sample"


def make_sample(folder: Path) -> Path:
    """FOLDER/res3d_sample.mp4, written if it is not there; says so.

    Raises:
        UsageError: another video has that name; scores of it would mean nothing.
    """
    path = folder / f"{NAME}.mp4"
    if not path.exists():
        SAMPLE.write(path)
        print(f"no video given: wrote a sample of {SAMPLE.num_frames} frames to {path}")
        return path
    with TemporaryDirectory(dir=folder, prefix=".") as fresh:
        SAMPLE.write(Path(fresh) / path.name)
        same = (Path(fresh) / path.name).read_bytes() == path.read_bytes()
    if not same:
        raise UsageError(f"{path} is not the sample that this version makes; give it as a video, or move it away")
    print(f"no video given: using the sample {path}")
    return path
