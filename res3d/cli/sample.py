"""``res3d sample``: a generated video with exact tracks. Commands that are called without a video use it."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from res3d.cli.command import Command, Keywords
from res3d.cli.computing import Computing
from res3d.cli.errors import UsageError, report_error
from res3d.settings import Positional, Short, Shown

if TYPE_CHECKING:
    from res3d.data import SyntheticVideo
    from res3d.structures import VideoTracks

NAME = "res3d_sample"


@dataclass(frozen=True, kw_only=True)
class SampleCommand(Command):
    """Generate a video of moving shapes, OUT/NAME.mp4, and its exact tracks, OUT/NAME_truth.json (CocoVID).

    With the default settings it is the sample video that extract and track use when they are called without a video.
    With --per-class, generate labelled videos to train a classifier on instead: OUT/CLASS/CLASS_000.mp4 and so on. All
    shapes of such a video are of one class.
    """

    out: Annotated[list[str], Positional("OUT")] = field(default_factory=list)
    """Folder for the files. It is created if it does not exist."""
    name: str = NAME
    """Name of the video, without suffix."""
    per_class: int | None = None
    """Number of labelled videos per class. Without it, one video with shapes of all classes is generated, with its
    tracks."""
    seed: int = 0
    """Seed of the shapes and their motion. With --per-class, the seed of the first video; each video has its own."""
    num_frames: int = 100
    """Frames per video."""
    fps: float = 25.0
    """Frames per second."""
    size: Annotated[tuple[int, int], Shown("H,W")] = (240, 320)
    """Height and width of the frames, in pixels."""
    num_objects: int = 5
    """Number of shapes per video."""
    overwrite: bool = False
    """Replace files that exist."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    def run(self) -> int:
        """Generate the videos and write the files."""
        if len(self.out) != 1:
            raise UsageError(f"needs one path, OUT, not {len(self.out)}")
        if self.per_class is not None and self.per_class < 1:
            raise UsageError(f"--per-class must be ≥ 1, not {self.per_class}")
        folder = Path(self.out[0])
        try:
            videos = self._videos(folder)
        except ValueError as error:
            raise UsageError(str(error)) from None
        truth = folder / f"{self.name}_truth.json"
        targets = [*videos, *([truth] if self.per_class is None else [])]
        if not self.overwrite and (existing := next((path for path in targets if path.exists()), None)) is not None:
            raise UsageError(f"{existing} exists (--overwrite replaces it)")
        try:
            for path, video in videos.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                video.write(path)
            if self.per_class is None:
                videos[folder / f"{self.name}.mp4"].tracks(self.name).to_cocovid(truth)
        except OSError as error:
            return report_error("sample", f"{folder}: {error.strerror or error}")
        print(f"wrote {', '.join(map(str, targets[:2]))}{f' and {len(targets) - 2} more' if len(targets) > 2 else ''}")
        return 0

    def _videos(self, folder: Path) -> "dict[Path, SyntheticVideo]":
        """Return the videos by the path that each is written to."""
        from res3d.data import CLASSES, SyntheticVideo

        settings: Keywords = {
            "num_frames": self.num_frames,
            "fps": self.fps,
            "size": self.size,
            "num_objects": self.num_objects,
        }
        if self.per_class is None:
            return {folder / f"{self.name}.mp4": SyntheticVideo(seed=self.seed, **settings)}
        return {
            folder / kind / f"{kind}_{number:03d}.mp4": SyntheticVideo(
                seed=self.seed + number * len(CLASSES) + label, kinds=(kind,) * self.num_objects, **settings
            )
            for number in range(self.per_class)
            for label, kind in enumerate(CLASSES)
        }


def sample_video() -> "SyntheticVideo":
    """Return the sample video. No model of res3d is trained on its seed."""
    from res3d.data import SyntheticVideo

    return SyntheticVideo()


def sample_truth() -> "VideoTracks":
    """Return the exact tracks of the sample video."""
    return sample_video().tracks(NAME)


def make_sample(folder: Path) -> Path:
    """Write the sample to FOLDER/res3d_sample.mp4 unless it exists, print the path, and return it.

    Raises:
        UsageError: the file exists and is a different video, to which the exact tracks do not apply.
    """
    path, video = folder / f"{NAME}.mp4", sample_video()
    if not path.exists():
        video.write(path)
        print(f"no video given: wrote a sample of {video.num_frames} frames to {path}")
        return path
    with TemporaryDirectory(dir=folder, prefix=".") as fresh:
        video.write(Path(fresh) / path.name)
        same = (Path(fresh) / path.name).read_bytes() == path.read_bytes()
    if not same:
        raise UsageError(f"{path} is not the sample video of this version; pass it as a video, or move it away")
    print(f"no video given: using the sample {path}")
    return path
