"""The video that commands use when they are given none: generated, with exact ground truth."""

from pathlib import Path

from res3d.data import SyntheticVideo

SAMPLE = SyntheticVideo()  # of a seed that nothing is trained on
NAME = "res3d_sample"


def make_sample(folder: Path) -> Path:
    """FOLDER/res3d_sample.mp4, written if it is not there; says so."""
    path = folder / f"{NAME}.mp4"
    if not path.exists():
        SAMPLE.write(path)
        print(f"no video given: wrote a sample of {SAMPLE.num_frames} frames to {path}")
    else:
        print(f"no video given: using the sample {path}")
    return path
