"""``res3d sample``, and the sample that commands use when they are given no video: generated, with exact truth."""

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

    As it is, it is the sample that extract and track use when they are given no video. With --per-class, generate
    labelled videos instead: OUT/CLASS/CLASS_000.mp4 and so on, each of shapes of one class, to train a classifier on.
    """

    out: Annotated[list[str], Positional("OUT")] = field(default_factory=list)
    """Folder for the files, made if absent."""
    name: str = NAME
    """Name of the video."""
    per_class: int | None = None
    """Number of labelled videos of each class; without, one video of all classes and its tracks."""
    seed: int = 0
    """Decides everything that moves; of labelled videos, the first one's."""
    num_frames: int = 100
    """Frames of each video."""
    fps: float = 25.0
    """Frames per second."""
    size: Annotated[tuple[int, int], Shown("H,W")] = (240, 320)
    """Height and width of frames, in pixels."""
    num_objects: int = 5
    """Shapes in each video."""
    overwrite: bool = False
    """Replace files that are there."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """What is computed on."""

    def run(self) -> int:
        """Write the files."""
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
        written = [*videos, *([truth] if self.per_class is None else [])]
        if not self.overwrite and (there := next((path for path in written if path.exists()), None)) is not None:
            raise UsageError(f"{there} exists (--overwrite replaces it)")
        try:
            for path, video in videos.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                video.write(path)
            if self.per_class is None:
                videos[folder / f"{self.name}.mp4"].tracks(self.name).to_cocovid(truth)
        except OSError as error:
            return report_error("sample", f"{folder}: {error.strerror or error}")
        print(f"wrote {', '.join(map(str, written[:2]))}{f' and {len(written) - 2} more' if len(written) > 2 else ''}")
        return 0

    def _videos(self, folder: Path) -> "dict[Path, SyntheticVideo]":
        """The videos by the files that they are written to."""
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
    """Return the sample; of a seed that nothing is trained on."""
    from res3d.data import SyntheticVideo

    return SyntheticVideo()


def sample_truth() -> "VideoTracks":
    """Return the exact tracks of the sample."""
    return sample_video().tracks(NAME)


def make_sample(folder: Path) -> Path:
    """Write the sample to FOLDER/res3d_sample.mp4 if it is not there, say so, and return the path.

    Raises:
        UsageError: another video has that name; scores of it would mean nothing.
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
        raise UsageError(f"{path} is not the sample that this version makes; give it as a video, or move it away")
    print(f"no video given: using the sample {path}")
    return path
