"""``res3d track``: detect and track the objects in videos, and write tracks and annotated videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.command import Command, Keywords
from res3d.cli.computing import NetworkComputing, find_device, machine_line
from res3d.cli.errors import FAILED, UsageError, report_error
from res3d.cli.sample import NAME, make_sample, sample_truth
from res3d.cli.track_videos import DRAWN, MAIN, MAIN_FORMAT, VideoTracker, is_annotated_video, read_metadata, suffix_of
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
    """Sampling of clips for the detector."""

    length: int = 8
    """Frames per clip, which the detector processes together. 1 detects in single frames."""
    stride: int = 4
    """Frames from the start of one clip to the start of the next. Less than the length, because clips are linked
    through the frames that they share; with single frames it is 1."""


@dataclass(frozen=True, kw_only=True)
class TrackCommand(Command):
    """Detect objects in each video, link them into tracks, and write OUT/NAME.json (CocoVID) and OUT/NAME_tracked.mp4.

    Without a video, a sample video is generated (OUT/res3d_sample.mp4), and its tracks are scored against the exact
    ground truth. Without weights, a small demonstration detector is used, which only detects the discs, squares and
    triangles of the sample. For people, cars and 78 more classes use --weights torchvision/maskrcnn_resnet50_fpn.coco
    (downloaded on first use). Videos whose files exist and were made with the same settings are skipped. The exit code
    is 0 after success, 1 if a file could not be read or processed, 2 for invalid settings, 130 after Ctrl-C; then the
    frames so far are in NAME_tracked.partial.mp4 and NAME.partial.json.
    """

    videos: Annotated[list[str], Positional("[videos ...]")] = field(default_factory=list)
    """Video files, folders (all videos in them, also in subfolders) or globs like 'videos/**/*.mp4'."""
    reader: Annotated[ReaderSettings, Group("input"), Short()] = field(default_factory=ReaderSettings)
    """Part and frame rate of each video that is read."""
    clips: Annotated[TrackClips, Short("clip_{}")] = field(default_factory=TrackClips)
    """Sampling of clips from each video."""
    weights: Annotated[str | None, Group("detector"), Shown("NAME|FILE")] = None
    """Weights of a detector: a name from res3d.list_weights("*rcnn*"), or a file that res3d, torchvision or
    Detect-and-Track wrote."""
    backbone: Annotated[str | None, Group("detector"), Shown("NAME")] = None
    """Backbone of the weights, if they do not record it: a name from res3d.list_backbones()."""
    batch_size: Annotated[int, Group("detector")] = 1
    """Number of clips in one batch. A smaller batch needs less memory."""
    min_size: Annotated[int | None, Group("detector")] = None
    """Length in pixels that the shorter side of frames is resized to. By default as the detector records it."""
    max_size: Annotated[int | None, Group("detector")] = None
    """Greatest length in pixels of the longer side after resizing. By default as the detector records it."""
    norm_eps: Annotated[float | None, Group("detector")] = None
    """Epsilon of all normalization layers, for files that do not record it. 0 for files of torchvision's COCO detectors
    of version 1."""
    link: Annotated[LinkSettings, Short()] = field(default_factory=LinkSettings)
    """Linking of detections into tracks."""
    out: Annotated[str, Group("output"), Shown("FOLDER")] = "tracks"
    """Folder for the results. It is created if it does not exist."""
    formats: Annotated[list[Annotated[str, Choice("res3d.structures.tracks_formats:FORMATS")]], Group("output")] = (
        field(default_factory=list)
    )
    """Formats to write tracks in besides CocoVID (NAME.json), for example mot,table."""
    draw: Annotated[bool, Group("output")] = True
    """Write a video with the tracks drawn on it, in the size and frame rate of the input, without sound."""
    show_frames: Annotated[bool, Group("output")] = False
    """Also write nine of the annotated frames to OUT/NAME_tracked.png."""
    truth: Annotated[str | None, Group("output"), Shown("PATH")] = None
    """Ground-truth tracks to score the results against: a file or a folder, as for res3d evaluate."""
    overwrite: Annotated[bool, Group("output")] = False
    """Track finished videos again, and replace existing files that this command did not write."""
    computing: Annotated[NetworkComputing, Short()] = field(default_factory=NetworkComputing)
    """Threads, device and number type."""

    def run(self) -> int:
        """Track the objects in all videos."""
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
        is_partial = (self.reader.start, self.reader.end, self.reader.fps) != (0.0, None, None)
        if is_partial and (self.truth is not None or not self.videos):
            raise UsageError("only whole videos are scored: --start, --end and --fps need a video and exclude --truth")
        if self.weights == "":
            raise UsageError("--weights must be the name or file of a detector, not ''")
        if not self.out:
            raise UsageError("--out must name a folder")

    def _find_videos(self) -> list[Path] | None:
        """Return the videos to track, or None for the sample.

        Annotated videos that this command wrote are left out, unless they are named directly.
        """
        if not self.videos:
            return None
        paths = [p for p in expand_videos(self.videos) if str(p) in self.videos or not is_annotated_video(p)]
        if not paths:
            raise UsageError("all videos are annotated videos that this command wrote; to track one, name it directly")
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
        """Return the requested formats without CocoVID, which is always written."""
        return tuple(dict.fromkeys(name for name in self.formats if name != MAIN_FORMAT))

    def _make_tracker(self) -> VideoTracker:
        from res3d.inference import optimize

        model, dtype = self._load_detector(), Keywords(dtype=self.computing.dtype)
        pictures = [DRAWN] * self.draw + ["_tracked.png"] * self.show_frames
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
                others=(*(suffix_of(name) for name in self._other_formats()), *pictures),
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
                "weights: NONE GIVEN, so the demonstration detector is used, which detects synthetic shapes only; "
                f"for real videos: --weights {REAL_WEIGHTS}"
            )
        print(f"frames: shorter side {model.settings.min_size}, longer at most {model.settings.max_size}")
        print(f"clips: {self.clips.length} frames, stride {self.clips.stride}; links: {_changes(self.link)}")
        end = "the end" if reader.end is None else f"{reader.end} s"
        print(f"video: from {reader.start} s to {end}, {reader.fps or 'its own'} frames/s; to {self.out}", flush=True)

    def _track(self, tracker: VideoTracker, paths: Sequence[Path], truths: "Mapping[str, VideoTracks] | None") -> int:
        predictions: dict[str, VideoTracks] = {}

        def track(path: Path) -> None:
            tracks = tracker.run(self.reader.open(path, threads=self.computing.threads))
            if truths is not None:
                predictions[path.stem] = tracks

        loop = VideoLoop(command="track", smaller="--batch-size, --clip-length or --min-size")
        failures = loop.run_and_count(paths, track)
        if predictions and truths is not None and not _print_scores(predictions, truths):
            failures += 1
        return FAILED if failures else 0


def _changes(link: LinkSettings) -> str:
    """Return the link settings that differ from their defaults: "max_lost 5, motion none"."""
    default = LinkSettings()
    names = [f.name for f in fields(link) if getattr(link, f.name) != getattr(default, f.name)]
    return ", ".join(f"{name} {getattr(link, name)}" for name in names) or "as by default"


def _make(folder: ResultFolder) -> None:
    try:
        folder.make()
    except OSError as error:
        raise UsageError(f"--out {folder.path}: {error.strerror or error}") from None


def _read_truths(paths: Sequence[Path], truth: str) -> "dict[str, VideoTracks]":
    """Return the ground truth by the name of the video. For a single video and ground truth, the names may differ.

    Raises:
        FileNotFoundError, ValueError: see ``read_tracks``.
        ValueError: a video has no ground truth in the file.
    """
    from res3d.structures.formats import read_tracks

    truths = read_tracks(truth)
    if len(paths) == len(truths) == 1:
        return {paths[0].stem: next(iter(truths.values()))}
    if missing := [path.stem for path in paths if path.stem not in truths]:
        raise ValueError(f"--truth {truth} has no tracks of {missing[0]} (it has {', '.join(truths)})")
    return truths


def _write_sample_truth(folder: Path) -> "dict[str, VideoTracks]":
    truth = sample_truth()
    truth.to_cocovid(folder / f"{NAME}_truth.json")
    return {NAME: truth}


def _print_scores(predictions: "Mapping[str, VideoTracks]", truths: "Mapping[str, VideoTracks]") -> bool:
    """Print the scores. If they cannot be computed, print an error message and return False."""
    from res3d.evaluation import evaluate

    try:
        report = evaluate(predictions, {name: truths[name] for name in predictions})
    except (ImportError, ValueError) as error:
        report_error("track", str(error))
        return False
    print(report.table())
    return True
