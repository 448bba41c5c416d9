"""``res3d extract``: features of the clips of videos, one ``.npz`` file per video."""

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.clip_settings import NetworkClips, NetworkReader, choose_clip
from res3d.cli.command import Command, Keywords
from res3d.cli.computing import NetworkComputing, find_device, machine_line
from res3d.cli.errors import FAILED, UsageError, report_error
from res3d.cli.frame_settings import FrameSettings
from res3d.cli.progress import Progress, show_progress
from res3d.cli.sample import make_sample
from res3d.cli.video_files import expand_videos, print_remarks
from res3d.cli.video_loop import VideoLoop
from res3d.results import Metadata, ResultFolder
from res3d.settings import Choice, Group, Positional, Short, Shown

if TYPE_CHECKING:
    from res3d.features import FeatureExtractor
    from res3d.video import VideoReader


DEFAULT_STRIDE = 16  # frames, for weights without a clip spec


@dataclass(frozen=True, kw_only=True)
class ExtractReader(NetworkReader):
    """Part and frame rate of each video that is read, and number of decoders."""

    decoders: int = 1
    """Number of segments of each video that are decoded at the same time, in threads."""
    at_once: int = 1
    """Number of videos that are processed at the same time, in threads. The network runs for one of them at a time."""


@dataclass(frozen=True, kw_only=True)
class ExtractClips(NetworkClips):
    """Sampling of clips from a video, and what happens at its end."""

    stride: int | None = None
    """Frames from the start of one clip to the start of the next. By default length x step for weights that record
    their clips (so that clips do not overlap), else 16."""
    tail: Annotated[str, Choice(("pad", "drop", "shift"))] = "pad"
    """Last clip of a video, if there are too few frames for it. pad repeats the last frame; drop leaves the clip out;
    shift moves it back so that it ends with the video."""
    align: Annotated[str, Choice(("start", "center"))] = "start"
    """Position of clip k (0, 1, ...): start begins it at frame k x stride; center puts that frame in its middle, which
    requires --tail pad."""


@dataclass(frozen=True, kw_only=True)
class ExtractCommand(Command):
    """Write the features of each video to OUT/NAME.npz: one row per clip, with the frames and seconds that it covers.

    Without a video, a sample video is generated (OUT/res3d_sample.mp4) and used. Videos whose file exists and was made
    with the same settings are skipped. The exit code is 0 after success, 1 if a video could not be processed, 2 for
    invalid settings, 130 after Ctrl-C.
    """

    videos: Annotated[list[str], Positional("[videos ...]")] = field(default_factory=list)
    """Video files, folders (all videos in them, also in subfolders) or globs like 'videos/**/*.mp4'."""
    reader: Annotated[ExtractReader, Group("input"), Short()] = field(default_factory=ExtractReader)
    """Part and frame rate of each video that is read."""
    clips: Annotated[ExtractClips, Short("clip_{}", "{}")] = field(default_factory=ExtractClips)
    """Sampling of clips from each video."""
    frames: Annotated[FrameSettings, Short()] = field(default_factory=FrameSettings)
    """Preprocessing of each frame."""
    model: Annotated[str | None, Group("network"), Shown("NAME|FILE")] = None
    """Backbone: a name from res3d.list_backbones(), or a YAML spec file. By default the backbone that the weights
    record, or r3d_18 without weights."""
    weights: Annotated[str | None, Group("network"), Shown("NAME|FILE")] = None
    """Weights of the backbone: a name from res3d.list_weights(), or a file that res3d or another library wrote. Without
    it the weights are random, and the features are only good for trying out the command."""
    seed: Annotated[int, Group("network")] = 0
    """Seed of the random weights, if --weights is missing."""
    layer: Annotated[str | None, Group("network"), Shown("STAGE")] = None
    """Stage whose feature map is used: stem, conv2, conv3 and so on. By default the last stage."""
    pool: Annotated[str, Group("network"), Choice("res3d.features.extractor:POOLS")] = "avg"
    """Pooling of the feature map of a clip to a vector, over time and space: avg is the mean, max the maximum. none
    stores the whole map."""
    context: Annotated[str, Group("network"), Choice(("clip", "video"))] = "clip"
    """Frames that the features of a clip depend on. clip: only its own frames. video: also neighbouring frames; the
    network runs once over the whole video and a clip is a window of that map, so overlapping clips cost nothing
    extra."""
    batch_size: Annotated[int, Group("network")] = 4
    """Number of clips in one batch. A smaller batch needs less memory."""
    out: Annotated[str, Group("output"), Shown("FOLDER")] = "features"
    """Folder for the results. It is created if it does not exist."""
    overwrite: Annotated[bool, Group("output")] = False
    """Compute finished files again, and replace existing files that this command did not write."""
    computing: Annotated[NetworkComputing, Short()] = field(default_factory=NetworkComputing)
    """Threads, device and number type."""

    def run(self) -> int:
        """Extract the features of all videos."""
        from res3d.weights import WeightsError

        try:
            self.reader.check()
            extractor = self._make_extractor()
            paths = expand_videos(self.videos) if self.videos else None
            folder = self._result_folder()
            folder.check(paths or [])
        except (WeightsError, FileNotFoundError) as error:
            return report_error("extract", str(error))
        except ValueError as error:
            raise UsageError(str(error)) from None
        try:
            folder.make()
            paths = paths or [make_sample(folder.path)]
        except OSError as error:
            raise UsageError(f"--out {self.out}: {error.strerror or error}") from None
        self._print_settings(extractor)
        reader = replace(self.reader, fps=extractor.fps)
        loop = VideoLoop(
            command="extract", smaller="--batch-size, --clip-length or --crop", at_once=self.reader.at_once
        )
        threads = self.computing.threads
        work = _Extraction(extractor=extractor, folder=folder, stopping=loop.stopping)
        failures = loop.run_and_count(
            paths, lambda path: work.run(reader.open(path, decoders=reader.decoders, threads=threads))
        )
        return FAILED if failures else 0

    def _make_extractor(self) -> "FeatureExtractor":
        import torch

        from res3d.features import FeatureExtractor, NetworkOptions
        from res3d.weights import create_backbone, open_weights

        source = None if self.weights is None else open_weights(self.weights)
        trained_on = None if source is None else source.clip
        clip = choose_clip(trained_on, self.clips, self.frames, self.reader)
        stride = DEFAULT_STRIDE if self.clips.stride is None and trained_on is None else self.clips.stride
        ends: Keywords = {"tail": self.clips.tail, "align": self.clips.align}
        computing: Keywords = {"dtype": self.computing.dtype, "device": find_device(self.computing.device)}
        settings: Keywords = {"layer": self.layer, "pool": self.pool, "context": self.context}
        name = self.model or (source and source.spec) or "r3d_18"
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            backbone = create_backbone(name, weights=source)
        return FeatureExtractor(
            backbone,
            clip=clip,
            sampler=clip.sampler(stride=stride, **ends),
            options=NetworkOptions(batch_size=self.batch_size, **computing),
            weights=self.weights or f"random, seed {self.seed}",
            **settings,
        )

    def _result_folder(self) -> ResultFolder:
        for flag, count in (("at-once", self.reader.at_once), ("decoders", self.reader.decoders)):
            if count < 1:
                raise UsageError(f"--{flag} must be ≥ 1, not {count}")
        if not self.out:
            raise UsageError("--out must name a folder")
        return ResultFolder(
            path=Path(self.out),
            main=".npz",
            read_metadata=_read_metadata,
            ignored=("weights",),  # the name of the file; its hash is compared
            overwrite=self.overwrite,
        )

    def _print_settings(self, extractor: "FeatureExtractor") -> None:
        from res3d.backbone import count_parameters

        backbone, sampler, preprocess = extractor.backbone, extractor.sampler, extractor.preprocess
        random = f"none given, so they are RANDOM (seed {self.seed}): good for trying things out, not as features"
        print(machine_line(extractor.device, extractor.dtype))
        print(f"model: {backbone.spec.name}, {count_parameters(backbone):,} parameters; features of {extractor.layer}")
        print(f"weights: {self.weights or random}")
        print(
            f"clips: {sampler.length} frames, step {sampler.step}, stride {sampler.stride}, tail {sampler.tail}, "
            f"align {sampler.align}" + ("" if extractor.fps is None else f", of videos at {extractor.fps:g} frames/s")
        )
        print(f"frames: resize {_size_text(preprocess.resize)}, crop {_size_text(preprocess.crop)}", flush=True)


@dataclass(frozen=True, kw_only=True)
class _Extraction:
    """Extracts the features of single videos to a result folder."""

    extractor: "FeatureExtractor"
    folder: ResultFolder
    stopping: threading.Event

    def run(self, reader: "VideoReader") -> None:
        """Extract the features of one video, unless its file is finished."""
        path, target = reader.path, self.folder.file(reader.path.stem, self.folder.main)
        metadata = self.extractor.meta(reader)
        if self.folder.is_finished(path, metadata):
            print(f"{path}: {target} is finished, skipped (--overwrite computes it again)")
            return
        if (line := self.folder.replacement(path, metadata)) is not None:
            print(f"{path}: {line}")
        with self.folder.writing(path), show_progress(path.name, reader.num_frames) as progress:
            self._extract(reader, target, progress)

    def _extract(self, reader: "VideoReader", target: Path, progress: Progress) -> None:
        from res3d.features import ExtractionRun, PipelineTimes

        start, times, frames = time.perf_counter(), PipelineTimes(), 0

        def count(done: int) -> None:
            nonlocal frames
            frames += done
            progress(done)

        run = ExtractionRun(self.extractor, reader, times, progress=count, stop=self.stopping)
        clips = run.extract_to(target)
        seconds = time.perf_counter() - start
        speed = f"{seconds:.1f} s, {frames / seconds:.0f} frames/s"
        print(f"{reader.path}: {frames} frames, {clips} {'clip' if clips == 1 else 'clips'} -> {target} ({speed})")
        print(f"{reader.path}: busy: {times}")
        if clips == 0:
            span = self.extractor.sampler.span
            print(f"{reader.path}: no clip: {frames} frames are fewer than the {span} of one clip (use --tail pad)")
        print_remarks(reader)


def _read_metadata(path: Path) -> Metadata | None:
    """Return the metadata of a file of features; {} for a damaged ``.npz``, None for any other file."""
    from res3d.structures import ClipFeatures

    try:
        return ClipFeatures.load_meta(path)
    except (OSError, ValueError):
        with path.open("rb") as file:
            return {} if file.read(2) == b"PK" else None


def _size_text(size: int | tuple[int, int] | None) -> str:
    if size is None:
        return "none"
    return f"shorter side {size}" if isinstance(size, int) else f"{size[0]}x{size[1]}"
