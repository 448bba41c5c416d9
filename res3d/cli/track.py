"""``res3d track``: what moves through a video, as tracks in files and drawn on the video."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
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
from res3d.inference import OptimizedModel, optimize
from res3d.structures import FrameTracks, VideoTracks
from res3d.structures.formats import FORMATS, read_cocovid_info, read_tracks, write_cocovid
from res3d.tracking import LinkSettings, check_clips, stream_video
from res3d.version import __version__
from res3d.video import VideoReader
from res3d.viz import SpreadPictures, TrackPainter, annotate_video, write_contact_sheet
from res3d.weights import WeightsError, hash_weights

SHOWN = 9  # frames on a contact sheet
OURS = "tracks by res3d"
WHERE = ("files", "path")  # of what a result's info says: not what decides it
SHOWN_LINK = ("min_score", "high_score", "new_score", "max_tracks", "max_lost", "fill_gaps", "min_length")

Format = Literal["mot", "posetrack", "table"]


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
    norm_eps: float | None = None,
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
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
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
        norm_eps: eps of all norms, for files that do not say it; 0 for those of torchvision's first COCO detectors
        min_score: detections below are not looked at
        high_score: from here on detections are matched first; below they only go on with tracks
        new_score: from here on a detection that nothing explains starts a track
        max_tracks: number of objects, where it is known
        max_lost: frames that a track is kept without being seen
        fill_gaps: gaps of up to so many frames are filled in a straight line
        min_length: tracks seen in fewer frames are dropped; a shorter video gives no tracks
        start: seconds to begin at
        end: seconds to end before
        fps: resample videos to this frame rate
        device: auto, cpu, cuda, cuda:1, ...
        dtype: computing type; auto is bfloat16 on cuda, float32 elsewhere
        overwrite: make finished files again
        allow_truncated: keep the frames of videos that end or break early
    """
    whole = (start, end, fps) == (0.0, None, None)
    if not whole and (truth is not None or not videos):
        raise UsageError("scores are of whole videos: --start, --end and --fps need a video, and no --truth")
    if weights == "":
        raise UsageError("--weights must name a detector, or be left out for the demonstration's")
    sizes = {name: side for name, side in (("min_size", min_size), ("max_size", max_size)) if side is not None}
    folder = Path(out)
    try:
        check_range(start, end, fps)
        paths = _without_own(expand_videos(videos), videos) if videos else None
        model = load_detector(weights or DEMO_WEIGHTS, backbone=backbone, norm_eps=norm_eps, **sizes)
        if min_score < model.settings.box_score_thresh:
            model = load_detector(
                weights or DEMO_WEIGHTS, backbone=backbone, norm_eps=norm_eps, box_score_thresh=min_score, **sizes
            )
        model = model.eval().to(find_device(device))
        tracker = _Tracker(
            model=model,
            detector=optimize(model, dtype=dtype),
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
            overwrite=overwrite,
        )
        if paths is not None:
            tracker.check_outputs([*paths, *([] if truth is None else [Path(truth)])])
    except (WeightsError, FileNotFoundError, ImportError) as error:
        return complain("track", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        truths = _truths_of(paths or [], truth) if truth is not None else None
    except (FileNotFoundError, ValueError) as error:
        return complain("track", str(error))
    _make_folder(out)
    if paths is None:
        paths, truths = [sample.make_sample(folder)], _sample_truth(folder)
    tracker.print_settings(weights, demo=weights is None and bool(videos))
    print(
        f"video: from {start} s to {'the end' if end is None else f'{end} s'}, {fps or 'its own'} frames/s; to {folder}"
    )
    found: dict[str, VideoTracks] = {}

    def track_one(path: Path) -> None:
        reader = VideoReader(path, start=start, end=end, fps=fps, allow_truncated=allow_truncated)
        tracks = tracker.run(reader)
        if truths is not None:
            found[path.stem] = tracks

    failures = process_videos(paths, track_one, command="track", smaller="--batch-size, --clip-length or --min-size")
    if len(paths) > 1:
        print(f"{len(paths) - failures} of {len(paths)} videos done")
    if found and truths is not None and not _print_scores(found, truths):
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
    detector: OptimizedModel  # the same, faster
    clips: Mapping[str, Any]  # of ``stream_video``
    link: LinkSettings
    folder: Path
    formats: tuple[Format, ...]
    draw: bool
    show_frames: bool
    overwrite: bool

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
        print(f"res3d {__version__}, torch {torch.__version__}, {device} ({shown}), {self.detector.dtype}")
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
        settings = self.model.settings
        print(f"frames: shorter side {settings.min_size}, longer at most {settings.max_size}")
        link = ", ".join(f"{f.name} {getattr(self.link, f.name)}" for f in fields(self.link) if f.name in SHOWN_LINK)
        print(
            f"clips: {self.clips['clip_length']} frames, stride {self.clips['clip_stride']}; links: {link}", flush=True
        )

    def check_outputs(self, inputs: Sequence[Path]) -> None:
        """ValueError if something would be written over what is read, or over what this command did not make."""
        read = {path.resolve() for path in inputs}
        for path in inputs:
            for file in self._files(path.stem):
                if file.resolve() in read:
                    raise ValueError(f"{file} would be written, and is read; choose another --out")
                if file.exists() and not self.overwrite and not _made_from(file, path, self.folder):
                    raise ValueError(f"{file} exists and was not made from {path.name} here (--overwrite replaces it)")

    def run(self, reader: VideoReader) -> VideoTracks:
        """Track one video and write its files; what is finished already is read."""
        name = reader.path.stem
        path = self.folder / f"{name}.json"
        info, before = self._info(reader), _info_of(path)
        wanted = self._files(name)
        same = {key: value for key, value in before.items() if key not in WHERE} == info
        there = all(file.is_file() and file.name in before.get("files", ()) for file in wanted)
        if same and there and not self.overwrite:
            print(f"{reader.path}: {path} is finished already (--overwrite makes it again)")
            return VideoTracks.from_cocovid(path)
        for old in before.get("files", ()):  # of other settings: they would not fit what is made now
            (self.folder / Path(old).name).unlink(missing_ok=True)
        info |= {"files": [file.name for file in wanted], "path": str(reader.path.resolve())}
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
        for format_name in self.formats:
            chosen = FORMATS[format_name]
            chosen.write(tracks, self._file(name, chosen.suffixes[0]))
        write_cocovid([tracks], path, info=info)  # last: where it is, the others are
        for partial in (path.with_suffix(".partial.json"), self._file(name, "_tracked.partial.mp4")):
            partial.unlink(missing_ok=True)
        seconds = time.perf_counter() - began
        speed = f"{seconds:.1f} s, {len(frames) / seconds:.1f} frames/s"
        print(f"{reader.path}: {len(frames)} frames, {len(tracks)} tracks -> {', '.join(map(str, wanted))} ({speed})")
        if len(frames) < self.link.min_length:
            print(f"{reader.path}: fewer frames than --min-length {self.link.min_length}, so no track counts")
        if reader.damage:
            print(f"{reader.path}: truncated or damaged: {reader.damage}; the frames that decode were kept")
        return tracks

    def _follow(self, reader: VideoReader, frames: list[FrameTracks], progress: Callable[[int], object]) -> None:
        """Fill ``frames``, each as soon as it is final, and draw it."""

        def remember(stream: Iterable[FrameTracks]) -> Iterator[FrameTracks]:
            for frame in stream:
                frames.append(frame)
                yield frame

        found = remember(stream_video(reader, self.detector, **self.clips, settings=self.link))
        if not self.draw:
            for _ in found:
                progress(1)
            return
        shown = SpreadPictures(SHOWN)
        annotate_video(
            reader,
            found,
            self._file(reader.path.stem, "_tracked.mp4"),
            painter=TrackPainter(categories=self.model.categories),
            show=shown.add if self.show_frames else None,
            progress=progress,
        )
        if self.show_frames:
            write_contact_sheet(shown.pictures, self._file(reader.path.stem, "_tracked.png"))

    def _files(self, name: str) -> list[Path]:
        """All that a video's tracks are written to."""
        drawn = ["_tracked.mp4"] * self.draw + ["_tracked.png"] * self.show_frames
        return [self._file(name, s) for s in (".json", *(FORMATS[f].suffixes[0] for f in self.formats), *drawn)]

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

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
        return {
            "description": f"{OURS} {__version__}",
            "video": _identity(reader.path),
            "range": [reader.start, reader.end, reader.fps],
            "detector": {
                "name": self.model.spec.name,
                "spec": sha256(self.model.spec.to_yaml().encode()).hexdigest(),
                "weights": hash_weights(self.model),
                "dtype": self.detector.dtype,
            },
            "settings": repr(self.model.settings),
            "clips": self.clips,
            "link": repr(self.link),
        }


def _info_of(path: Path) -> dict[str, Any]:
    """What a file of ours says of itself; nothing, if it is none."""
    try:
        info = read_cocovid_info(path)
    except (OSError, ValueError):
        return {}
    return info if str(info.get("description", "")).startswith(OURS) else {}


def _made_from(file: Path, video: Path, folder: Path) -> bool:
    """Whether this command made ``file`` in ``folder`` from that video."""
    info = _info_of(folder / f"{video.stem}.json")
    if file.name not in info.get("files", ()):
        return False
    return info["path"] == str(video.resolve()) or (video.exists() and info["video"] == _identity(video))


def _identity(video: Path) -> dict[str, Any]:
    state = video.stat()
    return {"file": video.name, "bytes": state.st_size, "modified": state.st_mtime}


def _without_own(paths: Sequence[Path], named: Sequence[str]) -> list[Path]:
    """Videos, but for drawn ones of ours that a folder or glob turned up."""

    def is_own(path: Path) -> bool:
        made_of = path.with_name(path.name.replace("_tracked.", ".")).with_suffix(".json")
        return path.name in _info_of(made_of).get("files", ())

    kept = [path for path in paths if str(path) in named or not is_own(path)]
    if not kept:
        raise UsageError("there are only videos that were drawn by this command; name one to track it all the same")
    return kept


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
