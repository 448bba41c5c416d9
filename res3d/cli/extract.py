"""``res3d extract``: features of the clips of videos, one ``.npz`` a video."""

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
from res3d.cli.video_files import expand_videos
from res3d.cli.video_loop import VideoLoop
from res3d.results import Metadata, ResultFolder
from res3d.settings import Choice, Group, Positional, Short, Shown

if TYPE_CHECKING:
    from res3d.features import FeatureExtractor
    from res3d.video import VideoReader


USUAL_STRIDE = 16  # frames, where the weights do not tell how clips are cut


@dataclass(frozen=True, kw_only=True)
class ExtractReader(NetworkReader):
    """The part of each video that is read, and by how many readers."""

    decoders: int = 1
    """Segments of each video that are decoded at the same time."""
    at_once: int = 1
    """Videos that are decoded at the same time."""


@dataclass(frozen=True, kw_only=True)
class ExtractClips(NetworkClips):
    """How videos are cut into clips."""

    stride: int | None = None
    """Frames from the start of one clip to the start of the next; by default 16, or with weights that bring their
    clips the length times the step."""
    tail: Annotated[str, Choice(("pad", "drop", "shift"))] = "pad"
    """At the end of a video, pad repeats the last frame, drop leaves out partial clips, shift moves the last clip."""
    align: Annotated[str, Choice(("start", "center"))] = "start"
    """Clip k starts at frame k x stride, or is centered on it (with the tail pad)."""


@dataclass(frozen=True, kw_only=True)
class ExtractCommand(Command):
    """Write the features of each video to OUT/NAME.npz: a row for every clip, with the frames and seconds it covers.

    Without a video, a sample is generated (OUT/res3d_sample.mp4) and used. Finished files made with the same settings
    are skipped. Exit code 0 if all went well, 1 if a video could not be processed, 2 for wrong settings, 130 after
    Ctrl-C.
    """

    videos: Annotated[list[str], Positional("[videos ...]")] = field(default_factory=list)
    """Files, folders (searched for videos) or globs."""
    reader: Annotated[ExtractReader, Group("input"), Short()] = field(default_factory=ExtractReader)
    """The part of each video that is read."""
    clips: Annotated[ExtractClips, Short("clip_{}", "{}")] = field(default_factory=ExtractClips)
    """How videos are cut into clips."""
    frames: Annotated[FrameSettings, Short()] = field(default_factory=FrameSettings)
    """How frames are prepared."""
    model: Annotated[str | None, Group("network"), Shown("NAME|FILE")] = None
    """Backbone, a name from res3d.list_backbones() or a YAML spec file; by default the weights' own, or r3d_18."""
    weights: Annotated[str | None, Group("network"), Shown("NAME|FILE")] = None
    """A name from res3d.list_weights() or a file of any origin; without, weights are random and mean little."""
    seed: Annotated[int, Group("network")] = 0
    """Decides the random weights, where none are given."""
    layer: Annotated[str | None, Group("network"), Shown("STAGE")] = None
    """Stage to take features from (stem, conv2, ...); by default the last."""
    pool: Annotated[str, Group("network"), Choice("res3d.features.extractor:POOLS")] = "avg"
    """How a clip's map over time and space becomes a vector, by mean or maximum; none keeps the map."""
    context: Annotated[str, Group("network"), Choice(("clip", "video"))] = "clip"
    """With clip, features depend on a clip's frames alone; with video, the network runs once over the whole video and
    clips are windows of its map, at a cost that does not depend on how much they overlap."""
    batch_size: Annotated[int, Group("network")] = 4
    """Clips that run through the network together."""
    out: Annotated[str, Group("output"), Shown("FOLDER")] = "features"
    """Folder for the results, made if absent."""
    overwrite: Annotated[bool, Group("output")] = False
    """Make finished files again, and replace files that this command did not make."""
    computing: Annotated[NetworkComputing, Short()] = field(default_factory=NetworkComputing)
    """What is computed on."""

    def run(self) -> int:
        """Extract features."""
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
        stride = USUAL_STRIDE if self.clips.stride is None and trained_on is None else self.clips.stride
        cut: Keywords = {"tail": self.clips.tail, "align": self.clips.align}
        computing: Keywords = {"dtype": self.computing.dtype, "device": find_device(self.computing.device)}
        settings: Keywords = {"layer": self.layer, "pool": self.pool, "context": self.context}
        name = self.model or (source and source.spec) or "r3d_18"
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            backbone = create_backbone(name, weights=source)
        return FeatureExtractor(
            backbone,
            clip=clip,
            sampler=clip.sampler(stride=stride, **cut),
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
            ignored=("weights",),  # a file's name; its hash decides
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
    """Extracts the features of one video after the other into a folder."""

    extractor: "FeatureExtractor"
    folder: ResultFolder
    stopping: threading.Event

    def run(self, reader: "VideoReader") -> None:
        """Extract the features of one video, unless that is done already."""
        path, target = reader.path, self.folder.file(reader.path.stem, self.folder.main)
        metadata = self.extractor.meta(reader)
        if self.folder.is_finished(path, metadata):
            print(f"{path}: {target} is finished already (--overwrite makes it again)")
            return
        if (line := self.folder.replacement(path, metadata)) is not None:
            print(f"{path}: {line}")
        with self.folder.writing(path), show_progress(path.name, reader.num_frames) as progress:
            self._extract(reader, target, progress)

    def _extract(self, reader: "VideoReader", target: Path, progress: Progress) -> None:
        from res3d.features import ExtractionRun, PipelineTimes

        began, times, frames = time.perf_counter(), PipelineTimes(), 0

        def count(done: int) -> None:
            nonlocal frames
            frames += done
            progress(done)

        run = ExtractionRun(self.extractor, reader, times, progress=count, stop=self.stopping)
        clips = run.extract_to(target)
        seconds = time.perf_counter() - began
        speed = f"{seconds:.1f} s, {frames / seconds:.0f} frames/s"
        print(f"{reader.path}: {frames} frames, {clips} {'clip' if clips == 1 else 'clips'} -> {target} ({speed})")
        print(f"{reader.path}: busy: {times}")
        if clips == 0:
            span = self.extractor.sampler.span
            print(f"{reader.path}: no clip: {frames} frames are fewer than a clip's span of {span} (use the tail pad)")
        if reader.damage:
            print(f"{reader.path}: truncated or damaged: {reader.damage}; the frames that decode were kept")


def _read_metadata(path: Path) -> Metadata | None:
    """Metadata of a file of features; {} of one that is damaged, None of any other file."""
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
