"""``res3d track``: what moves through a video, as tracks in files and drawn on the video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.command import Command, Keywords
from res3d.cli.computing import NetworkComputing, find_device, machine_line
from res3d.cli.errors import FAILED, UsageError, report_error
from res3d.cli.sample import NAME, make_sample, sample_truth
from res3d.cli.track_videos import DRAWN, MAIN, MAIN_FORMAT, VideoTracker, drawn_by_us, read_metadata, suffix_of
from res3d.cli.video_files import ReaderSettings, expand_videos
from res3d.cli.video_loop import VideoLoop
from res3d.results import ResultFolder
from res3d.settings import Choice, Group, Positional, Short, Shown
from res3d.tracking import LinkSettings

if TYPE_CHECKING:
    from res3d.detection import MaskRCNN3d
    from res3d.structures import VideoTracks

REAL_WEIGHTS = "torchvision/maskrcnn_resnet50_fpn.coco"


@dataclass(frozen=True, kw_only=True)
class TrackClips:
    """How videos are cut into clips for the detector."""

    length: int = 8
    """Frames that the detector sees at once."""
    stride: int = 4
    """Frames from the start of one clip to the start of the next; clips must overlap."""


@dataclass(frozen=True, kw_only=True)
class TrackCommand(Command):
    """Detect objects in each video, link them into tracks, and write OUT/NAME.json (CocoVID) and OUT/NAME_tracked.mp4.

    Without a video, a sample is generated (OUT/res3d_sample.mp4) and its tracks are scored against the exact truth.
    Without weights, a small demonstration model is used that knows the sample's discs, squares and triangles only; for
    people, cars and 78 more classes: --weights torchvision/maskrcnn_resnet50_fpn.coco (downloaded on first use).
    Finished files made with the same settings are skipped. Exit code 0 if all went well, 1 if a file could not be read
    or processed, 2 for wrong settings, 130 after Ctrl-C, with the frames so far in NAME_tracked.partial.mp4 and
    NAME.partial.json.
    """

    videos: Annotated[list[str], Positional("[videos ...]")] = field(default_factory=list)
    """Files, folders (searched for videos) or globs."""
    reader: Annotated[ReaderSettings, Group("input"), Short()] = field(default_factory=ReaderSettings)
    """The part of each video that is read."""
    clips: Annotated[TrackClips, Short("clip_{}")] = field(default_factory=TrackClips)
    """How videos are cut into clips."""
    weights: Annotated[str | None, Group("detector"), Shown("NAME|FILE")] = None
    """A detector, by a name from res3d.list_weights("*rcnn*") or a file of any origin."""
    backbone: Annotated[str | None, Group("detector"), Shown("NAME")] = None
    """Backbone of weights that do not name it, from res3d.list_backbones()."""
    batch_size: Annotated[int, Group("detector")] = 1
    """Clips that run through the detector together."""
    min_size: Annotated[int | None, Group("detector")] = None
    """Shorter side, in pixels, that frames are resized to; by default the detector's own."""
    max_size: Annotated[int | None, Group("detector")] = None
    """What the longer side stays below, in pixels; by default the detector's own."""
    norm_eps: Annotated[float | None, Group("detector")] = None
    """Eps of all norms, for files that do not say it; 0 for those of torchvision's first COCO detectors."""
    link: Annotated[LinkSettings, Short()] = field(default_factory=LinkSettings)
    """How detections are linked into tracks."""
    out: Annotated[str, Group("output"), Shown("FOLDER")] = "tracks"
    """Folder for the results, made if absent."""
    formats: Annotated[list[Annotated[str, Choice("res3d.structures.tracks_formats:FORMATS")]], Group("output")] = (
        field(default_factory=list)
    )
    """Formats of further files, besides CocoVID in NAME.json."""
    draw: Annotated[bool, Group("output")] = True
    """Write the video with its tracks drawn on it, in its own size and frame rate, without sound."""
    show_frames: Annotated[bool, Group("output")] = False
    """Write nine of the drawn frames to OUT/NAME_tracked.png as well."""
    truth: Annotated[str | None, Group("output"), Shown("PATH")] = None
    """True tracks to score against, a file or folder as for res3d evaluate."""
    overwrite: Annotated[bool, Group("output")] = False
    """Make finished files again, and replace files that this command did not make."""
    computing: Annotated[NetworkComputing, Short()] = field(default_factory=NetworkComputing)
    """What is computed on."""

    def run(self) -> int:
        """Track objects."""
        from res3d.weights import WeightsError

        self._check_words()
        try:
            self.reader.check()
            paths = self._find_videos()
            tracker = self._make_tracker()
            tracker.folder.check(paths or [], [] if self.truth is None else [Path(self.truth)])
        except (WeightsError, FileNotFoundError, ImportError) as error:
            return report_error("track", str(error))
        except ValueError as error:
            raise UsageError(str(error)) from None
        try:
            truths = None if self.truth is None else _read_truths(paths or [], self.truth)
        except (FileNotFoundError, ValueError) as error:
            return report_error("track", str(error))
        _make(tracker.folder)
        if paths is None:
            paths, truths = [make_sample(tracker.folder.path)], _write_sample_truth(tracker.folder.path)
        self._print_settings(tracker)
        return self._track(tracker, paths, truths)

    def _check_words(self) -> None:
        part = (self.reader.start, self.reader.end, self.reader.fps) != (0.0, None, None)
        if part and (self.truth is not None or not self.videos):
            raise UsageError("scores are of whole videos: --start, --end and --fps need a video, and no --truth")
        if self.weights == "":
            raise UsageError("--weights must name a detector, or be left out for the demonstration's")
        if not self.out:
            raise UsageError("--out must name a folder")

    def _find_videos(self) -> list[Path] | None:
        """The videos, but for drawn ones of ours that a folder or glob turned up; None for the sample."""
        if not self.videos:
            return None
        paths = [p for p in expand_videos(self.videos) if str(p) in self.videos or not drawn_by_us(p)]
        if not paths:
            raise UsageError("there are only videos that this command drew; name one to track it all the same")
        return paths

    def _load_detector(self) -> "MaskRCNN3d":
        from res3d.detection import DEMO_WEIGHTS, load_detector
        from res3d.weights import open_weights

        sizes = {"min_size": self.min_size, "max_size": self.max_size}
        load = partial(
            load_detector,
            open_weights(self.weights or DEMO_WEIGHTS),
            backbone=self.backbone,
            norm_eps=self.norm_eps,
            **{name: side for name, side in sizes.items() if side is not None},
        )
        model = load()
        if self.link.min_score < model.settings.box_score_thresh:
            model = load(box_score_thresh=self.link.min_score)
        return model.eval().to(find_device(self.computing.device))

    def _other_formats(self) -> tuple[str, ...]:
        """The formats besides CocoVID, which is always written."""
        return tuple(dict.fromkeys(name for name in self.formats if name != MAIN_FORMAT))

    def _make_tracker(self) -> VideoTracker:
        from res3d.inference import optimize

        model, dtype = self._load_detector(), Keywords(dtype=self.computing.dtype)
        drawn = [DRAWN] * self.draw + ["_tracked.png"] * self.show_frames
        return VideoTracker(
            model=model,
            detector=optimize(model, **dtype),
            clips={
                "clip_length": self.clips.length,
                "clip_stride": self.clips.stride,
                "batch_size": self.batch_size,
            },
            link=self.link,
            formats=self._other_formats(),
            folder=ResultFolder(
                path=Path(self.out),
                main=MAIN,
                others=(*(suffix_of(name) for name in self._other_formats()), *drawn),
                read_metadata=read_metadata,
                overwrite=self.overwrite,
            ),
            draw=self.draw,
            show_frames=self.show_frames,
        )

    def _print_settings(self, tracker: VideoTracker) -> None:
        from res3d.backbone import count_parameters
        from res3d.detection import DEMO_WEIGHTS

        model, reader = tracker.model, self.reader
        print(machine_line(next(model.parameters()).device, tracker.detector.dtype))
        heads = ", ".join(["boxes", *model.spec.tasks])
        print(f"detector: {model.spec.name}, {count_parameters(model):,} parameters; {heads}")
        names = [category.name for category in model.spec.categories] or [f"{model.spec.num_classes - 1} without names"]
        print(f"weights: {self.weights or DEMO_WEIGHTS.name}; classes: {', '.join(names)}")
        if self.weights is None and self.videos:
            print(
                "weights: NONE GIVEN, so this is the demonstration's detector, which knows made-up shapes only; "
                f"for real videos: --weights {REAL_WEIGHTS}"
            )
        print(f"frames: shorter side {model.settings.min_size}, longer at most {model.settings.max_size}")
        print(f"clips: {self.clips.length} frames, stride {self.clips.stride}; links: {_changes(self.link)}")
        end = "the end" if reader.end is None else f"{reader.end} s"
        print(f"video: from {reader.start} s to {end}, {reader.fps or 'its own'} frames/s; to {self.out}", flush=True)

    def _track(self, tracker: VideoTracker, paths: Sequence[Path], truths: "Mapping[str, VideoTracks] | None") -> int:
        found: dict[str, VideoTracks] = {}

        def track(path: Path) -> None:
            tracks = tracker.run(self.reader.open(path, threads=self.computing.threads))
            if truths is not None:
                found[path.stem] = tracks

        loop = VideoLoop(command="track", smaller="--batch-size, --clip-length or --min-size")
        failures = loop.run_and_count(paths, track)
        if found and truths is not None and not _print_scores(found, truths):
            failures += 1
        return FAILED if failures else 0


def _changes(link: LinkSettings) -> str:
    """The settings of a linker that are not at their default."""
    usual = LinkSettings()
    changed = [f.name for f in fields(link) if getattr(link, f.name) != getattr(usual, f.name)]
    return ", ".join(f"{name} {getattr(link, name)}" for name in changed) or "as by default"


def _make(folder: ResultFolder) -> None:
    try:
        folder.make()
    except OSError as error:
        raise UsageError(f"--out {folder.path}: {error.strerror or error}") from None


def _read_truths(paths: Sequence[Path], truth: str) -> "dict[str, VideoTracks]":
    """True tracks by the names of the videos; one truth is that of one video, whatever it is called.

    Raises:
        FileNotFoundError, ValueError: see ``read_tracks``; or the truth is of other videos.
    """
    from res3d.structures.formats import read_tracks

    truths = read_tracks(truth)
    if len(paths) == len(truths) == 1:
        return {paths[0].stem: next(iter(truths.values()))}
    if missing := [path.stem for path in paths if path.stem not in truths]:
        raise ValueError(f"--truth {truth} is of other videos: it has {', '.join(truths)}, and not {missing[0]}")
    return truths


def _write_sample_truth(folder: Path) -> "dict[str, VideoTracks]":
    truth = sample_truth()
    truth.to_cocovid(folder / f"{NAME}_truth.json")
    return {NAME: truth}


def _print_scores(found: "Mapping[str, VideoTracks]", truths: "Mapping[str, VideoTracks]") -> bool:
    from res3d.evaluation import evaluate

    try:
        report = evaluate(found, {name: truths[name] for name in found})
    except (ImportError, ValueError) as error:
        report_error("track", str(error))
        return False
    print(report.table())
    return True
