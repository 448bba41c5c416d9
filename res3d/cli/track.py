"""``res3d track``: what moves through a video, as tracks in files and drawn on the video."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import torch
from tqdm import tqdm

from res3d.backbone import count_parameters
from res3d.cli import sample
from res3d.cli.command import UsageError
from res3d.cli.inputs import FAILED, complain, expand_videos, process_videos
from res3d.cli.settings import check_range, find_device
from res3d.detection import DEMO_WEIGHTS, MaskRCNN3d, load_detector
from res3d.evaluation import evaluate
from res3d.structures import FrameTracks, VideoTracks
from res3d.structures.formats import read_cocovid_info, read_tracks, write_cocovid, write_table
from res3d.tracking import LinkSettings, check_clips, stream_video
from res3d.version import __version__
from res3d.video import VideoReader
from res3d.viz import TrackPainter, annotate_video, spread_frames, write_contact_sheet
from res3d.weights import WeightsError, hash_weights

SHOWN = 9  # frames on a contact sheet

Format = Literal["mot", "posetrack", "table"]
# How a format's file is named, and what writes it.
FORMATS: dict[Format, tuple[str, Callable[[VideoTracks, Path], None]]] = {
    "mot": (".txt", VideoTracks.to_mot),
    "posetrack": (".posetrack.json", VideoTracks.to_posetrack),
    "table": (".csv", write_table),
}


def track(
    videos: list[str],
    *,
    weights: str | None = None,
    backbone: str | None = None,
    out: str = "tracks",
    formats: list[Format] = [],  # noqa: B006 (the command line's parser reads it; nothing writes to it)
    draw: bool = True,
    show_frames: bool = False,
    truth: str | None = None,
    clip_length: int = 8,
    clip_stride: int = 4,
    batch_size: int = 1,
    min_size: int | None = None,
    max_size: int | None = None,
    min_score: float = 0.1,
    high_score: float = 0.5,
    new_score: float = 0.6,
    max_tracks: int | None = None,
    max_lost: int = 30,
    fill_gaps: int = 20,
    min_length: int = 3,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    device: str = "auto",
    overwrite: bool = False,
    allow_truncated: bool = False,
) -> int:
    """Detect objects in each video, link them into tracks, and write OUT/NAME.json (CocoVID) and OUT/NAME_tracked.mp4.

    Without a video, a sample is generated (OUT/res3d_sample.mp4) and its tracks are scored against the exact truth.
    Without weights, a small demonstration model is used that knows the sample's discs, squares and triangles only; for
    people, cars and 78 more classes: --weights torchvision/maskrcnn_resnet50_fpn.coco (downloaded on first use).
    Finished files made with the same settings are skipped. Exit code 0 if all went well, 1 if a file could not be read
    or processed, 2 for wrong settings, 130 after Ctrl-C, with the frames so far in NAME_tracked.partial.mp4 and
    NAME.partial.json.

    Args:
        videos: files, folders (searched for videos) or globs
        weights: a detector, by a name from res3d.list_weights("*rcnn*") or a file of any origin
        backbone: for weights that do not say theirs, a name from res3d.list_backbones()
        out: folder for the results, made if absent
        formats: files besides NAME.json, of mot (NAME.txt), posetrack (NAME.posetrack.json) and table (NAME.csv)
        draw: write the video with its tracks drawn on it, in its own size and frame rate, without sound
        show_frames: write nine of the drawn frames to OUT/NAME_tracked.png as well
        truth: true tracks to score against, a file or folder as for res3d evaluate
        clip_length: frames that the detector sees at once
        clip_stride: frames from the start of one clip to the start of the next; clips must overlap
        batch_size: clips that run through the detector together
        min_size: shorter side, in pixels, that frames are resized to; by default the detector's own
        max_size: what the longer side stays below; likewise
        min_score: detections below are not looked at
        high_score: from here on detections are matched first; below they only go on with tracks
        new_score: from here on a detection that nothing explains starts a track
        max_tracks: number of objects, where it is known
        max_lost: frames that a track is kept without being seen
        fill_gaps: gaps of up to so many frames are filled in a straight line
        min_length: tracks seen in fewer frames are dropped
        start: seconds to begin at
        end: seconds to end before
        fps: resample videos to this frame rate
        device: auto, cpu, cuda, cuda:1, ...
        overwrite: make finished files again
        allow_truncated: keep the frames of videos that end or break early
    """
    whole = (start, end, fps) == (0.0, None, None)
    if not whole and (truth is not None or not videos):
        raise UsageError("scores are of whole videos: --start, --end and --fps need a video, and no --truth")
    sizes = {name: side for name, side in (("min_size", min_size), ("max_size", max_size)) if side is not None}
    folder = Path(out)
    try:
        check_range(start, end, fps)
        paths = expand_videos(videos) if videos else None
        truths = _truths_of(paths or [], truth) if truth is not None else None
        tracker = _Tracker(
            model=load_detector(weights or DEMO_WEIGHTS, backbone=backbone, **sizes).eval().to(find_device(device)),
            clips={"clip_length": clip_length, "clip_stride": clip_stride, "batch_size": batch_size},
            link=LinkSettings(
                min_score=min_score,
                high_score=high_score,
                new_score=new_score,
                max_tracks=max_tracks,
                max_lost=max_lost,
                fill_gaps=fill_gaps,
                min_length=min_length,
            ),
            folder=folder,
            formats=tuple(formats),
            draw=draw,
            show_frames=show_frames,
        )
    except (WeightsError, FileNotFoundError, ImportError) as error:
        return complain("track", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    _make_folder(out)
    if paths is None:
        paths, truths = [sample.make_sample(folder)], _sample_truth(folder)
    tracker.print_settings(weights, demo=weights is None and bool(videos))
    found: dict[str, VideoTracks] = {}

    def track_one(path: Path) -> None:
        reader = VideoReader(path, start=start, end=end, fps=fps, allow_truncated=allow_truncated)
        found[path.stem] = tracker.run(reader, overwrite=overwrite)

    failures = process_videos(paths, track_one, command="track", smaller="--batch-size, --clip-length or --min-size")
    if len(paths) > 1:
        print(f"{len(paths) - failures} of {len(paths)} videos done")
    if truths is not None and not _print_scores(found, truths):
        failures += 1
    return FAILED if failures else 0


@dataclass(frozen=True, kw_only=True)
class _Tracker:
    """All that videos are tracked with.

    Raises:
        ImportError: a library that the asked-for files need is not installed.
        ValueError: settings that do not go together, known before hours of work.
    """

    model: MaskRCNN3d
    clips: Mapping[str, Any]  # of ``stream_video``
    link: LinkSettings
    folder: Path
    formats: tuple[Format, ...]
    draw: bool
    show_frames: bool

    def __post_init__(self) -> None:
        if self.draw:
            TrackPainter()
        if self.show_frames and not self.draw:
            raise ValueError("--show-frames shows drawn frames: it does not go with --no-draw")
        if "posetrack" in self.formats and self.model.spec.keypoints is None:
            raise ValueError("--formats posetrack: the detector has no keypoints")
        if "table" in self.formats:
            VideoTracks(tracks=(), num_frames=0).to_table()
        check_clips(**self.clips)

    def print_settings(self, weights: str | None, *, demo: bool) -> None:
        device = next(self.model.parameters()).device
        shown = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
        print(f"res3d {__version__}, torch {torch.__version__}, {device} ({shown})")
        heads = ["boxes", *self.model.spec.tasks]
        print(f"detector: {self.model.spec.name}, {count_parameters(self.model):,} parameters; {', '.join(heads)}")
        names = [category.name for category in self.model.spec.categories] or [
            f"{self.model.spec.num_classes - 1} without names"
        ]
        print(f"weights: {weights or DEMO_WEIGHTS.name}; classes: {', '.join(names)}")
        if demo:
            print(
                "weights: NONE GIVEN, so this is the demonstration's detector, which knows made-up shapes only; "
                "for real videos: --weights torchvision/maskrcnn_resnet50_fpn.coco"
            )
        print(f"clips: {self.clips['clip_length']} frames, stride {self.clips['clip_stride']}", flush=True)

    def run(self, reader: VideoReader, *, overwrite: bool) -> VideoTracks:
        """Track one video and write its files; what is finished already is read."""
        path = self.folder / f"{reader.path.stem}.json"
        info = self._info(reader)
        wanted = [path, *(self._file(reader, suffix) for suffix in self._suffixes())]
        if not overwrite and all(file.is_file() for file in wanted) and _info_of(path) == info:
            print(f"{reader.path}: {path} is finished already (--overwrite makes it again)")
            return VideoTracks.from_cocovid(path)
        began = time.perf_counter()
        frames: list[FrameTracks] = []
        try:
            with tqdm(total=reader.num_frames, desc=reader.path.name, unit=" frames", leave=False, disable=None) as bar:
                self._follow(reader, frames, bar.update)
        except KeyboardInterrupt:
            if frames:
                tracks = self._tracks(reader, frames)
                write_cocovid([tracks], path.with_suffix(".partial.json"), info=info)
            raise
        tracks = self._tracks(reader, frames)
        for name in self.formats:
            suffix, write = FORMATS[name]
            write(tracks, self._file(reader, suffix))
        write_cocovid([tracks], path, info=info)  # last: where it is, the others are
        seconds = time.perf_counter() - began
        speed = f"{seconds:.1f} s, {len(frames) / seconds:.1f} frames/s"
        print(f"{reader.path}: {len(frames)} frames, {len(tracks)} tracks -> {', '.join(map(str, wanted))} ({speed})")
        if reader.damage:
            print(f"{reader.path}: truncated or damaged: {reader.damage}; the frames that decode were kept")
        return tracks

    def _follow(self, reader: VideoReader, frames: list[FrameTracks], progress: Callable[[int], object]) -> None:
        """Fill ``frames``, each as soon as it is final, and draw it."""

        def remember(stream: Iterable[FrameTracks]) -> Iterator[FrameTracks]:
            for frame in stream:
                frames.append(frame)
                yield frame

        found = remember(stream_video(reader, self.model, **self.clips, settings=self.link))
        if not self.draw:
            for _ in found:
                progress(1)
            return
        shown = annotate_video(
            reader,
            found,
            self._file(reader, "_tracked.mp4"),
            painter=TrackPainter(categories=self.model.categories),
            show=spread_frames(reader.num_frames or 1, SHOWN) if self.show_frames else (),
            progress=progress,
        )
        if self.show_frames:
            write_contact_sheet(list(shown.values()), self._file(reader, "_tracked.png"))

    def _suffixes(self) -> list[str]:
        drawn = ["_tracked.mp4"] * self.draw + ["_tracked.png"] * self.show_frames
        return [*(FORMATS[name][0] for name in self.formats), *drawn]

    def _file(self, reader: VideoReader, suffix: str) -> Path:
        return self.folder / f"{reader.path.stem}{suffix}"

    def _tracks(self, reader: VideoReader, frames: list[FrameTracks]) -> VideoTracks:
        return VideoTracks.from_frames(
            frames,
            name=reader.path.stem,
            fps=reader.fps or reader.info.fps,
            size=(reader.info.height, reader.info.width),
            categories=self.model.categories,
        )

    def _info(self, reader: VideoReader) -> dict[str, Any]:
        """What decides the result, as JSON gives it back."""
        state = reader.path.stat()
        return {
            "description": f"tracks by res3d {__version__}",
            "video": {"file": reader.path.name, "bytes": state.st_size, "modified": state.st_mtime},
            "range": [reader.start, reader.end, reader.fps],
            "detector": {"name": self.model.spec.name, "sha256": hash_weights(self.model)},
            "settings": repr(self.model.settings),
            "clips": self.clips,
            "link": repr(self.link),
        }


def _info_of(path: Path) -> dict[str, Any] | None:
    try:
        return read_cocovid_info(path)
    except (OSError, ValueError):
        return None


def _make_folder(out: str) -> None:
    """UsageError if results cannot be written there: better to know now."""
    if not out:
        raise UsageError("--out must name a folder")
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from None


def _truths_of(paths: Sequence[Path], truth: str) -> dict[str, VideoTracks]:
    """True tracks by the names of the videos; one truth is that of one video, whatever it is called.

    Raises:
        FileNotFoundError, ValueError: see ``read_tracks``; or the truth is of other videos.
    """
    truths = read_tracks(truth)
    if len(paths) == len(truths) == 1:
        return {paths[0].stem: next(iter(truths.values()))}
    if missing := [path.stem for path in paths if path.stem not in truths]:
        raise ValueError(f"--truth {truth} is of other videos: it has {', '.join(truths)}, and not {missing[0]}")
    return truths


def _sample_truth(folder: Path) -> dict[str, VideoTracks]:
    truth = sample.SAMPLE.tracks(sample.NAME)
    truth.to_cocovid(folder / f"{sample.NAME}_truth.json")
    return {sample.NAME: truth}


def _print_scores(found: Mapping[str, VideoTracks], truths: Mapping[str, VideoTracks]) -> bool:
    try:
        report = evaluate(found, {name: truths[name] for name in found})
    except (ImportError, ValueError) as error:
        complain("track", str(error))
        return False
    print(report.table())
    return True
