"""Tracking of single videos for ``res3d track``, and the files that it writes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from res3d.cli.command import Keywords
from res3d.cli.errors import Interrupted
from res3d.cli.progress import Progress, show_progress
from res3d.cli.video_files import print_remarks
from res3d.files import identify
from res3d.results import Metadata, ResultFolder
from res3d.version import __version__

if TYPE_CHECKING:
    from res3d.detection import MaskRCNN3d
    from res3d.inference import OptimizedModel
    from res3d.structures import FrameTracks, VideoTracks
    from res3d.tracking import LinkSettings
    from res3d.video import VideoReader

MAIN, DRAWN, SHEET = ".json", "_tracked.mp4", "_tracked.png"  # endings of the file names
MAIN_FORMAT = "cocovid"
SHEET_FRAMES = 9  # frames on a contact sheet
DESCRIPTION = "tracks by res3d"  # start of the description in the metadata of a file


@dataclass(frozen=True, kw_only=True)
class VideoTracker:
    """Tracks single videos with one detector, one set of link settings and one result folder.

    Raises:
        ImportError: a library for one of the requested formats is not installed.
        ValueError: settings contradict each other. All checks are made here, before the work on the first video.
    """

    model: "MaskRCNN3d"
    detector: "OptimizedModel"
    """The same model, optimized."""
    clips: Keywords
    """Keyword arguments of ``stream_video``: clip length, clip stride and batch size."""
    link: "LinkSettings"
    formats: tuple[str, ...]
    """Formats to write besides CocoVID."""
    folder: ResultFolder
    draw: bool
    """True to write the annotated video."""
    show_frames: bool
    """True to write a contact sheet of annotated frames."""

    def __post_init__(self) -> None:
        from res3d.structures.formats import FORMATS
        from res3d.tracking import check_clips

        if self.draw:
            from res3d.viz import TrackPainter

            TrackPainter()
        if self.show_frames and not self.draw:
            raise ValueError("--show-frames needs the annotated frames, which --no-draw turns off")
        results = {name for head in self.model.tasks.values() for name in head.results}
        for name in self.formats:
            FORMATS[name].check_installed()
            if missing := sorted(FORMATS[name].requires - results):
                raise ValueError(f"--formats {name}: the detector has no {', '.join(missing)}")
        check_clips(**self.clips)

    def run(self, reader: "VideoReader") -> "VideoTracks":
        """Track one video, write its files, and return the tracks. If its files are finished, they are only read."""
        from res3d.structures import VideoTracks

        path, main, metadata = reader.path, self.folder.file(reader.path.stem, MAIN), self._metadata(reader)
        if self.folder.is_finished(path, metadata):
            print(f"{path}: {main} is finished, skipped (--overwrite computes it again)")
            return VideoTracks.from_cocovid(main)
        if (line := self.folder.replacement(path, metadata)) is not None:
            print(f"{path}: {line}")
        start = time.perf_counter()
        with self.folder.writing(path), show_progress(path.name, reader.num_frames) as progress:
            tracks = self._write(reader, {**metadata, **self.folder.bookkeeping(path)}, progress)
        seconds = time.perf_counter() - start
        files = ", ".join(map(str, self.folder.files(path.stem)))
        speed = f"{seconds:.1f} s, {tracks.num_frames / seconds:.1f} frames/s"
        count = f"{len(tracks)} {'track' if len(tracks) == 1 else 'tracks'}"
        print(f"{path}: {tracks.num_frames} frames, {count} -> {files} ({speed})")
        if tracks.num_frames < self.link.min_length:
            print(f"{path}: no tracks, because it has fewer frames than --min-length {self.link.min_length}")
        print_remarks(reader)
        return tracks

    def _write(self, reader: "VideoReader", metadata: Metadata, progress: Progress) -> "VideoTracks":
        """Track one video and write all files. After Ctrl-C, write the frames so far to the partial files."""
        from res3d.structures.formats import FORMATS, write_cocovid

        name, frames = reader.path.stem, list["FrameTracks"]()
        try:
            self._follow(reader, frames, progress)
        except KeyboardInterrupt:
            if not frames:
                raise
            partials = self.folder.partials(name)
            write_cocovid([self._tracks(reader, frames)], partials[0], info=dict(metadata))
            names = " and ".join(str(partial) for partial in partials if partial.exists())
            raise Interrupted(f"finished files are kept, and the frames so far of {name} are in {names}") from None
        tracks = self._tracks(reader, frames)
        for format_name in self.formats:
            FORMATS[format_name].write(tracks, self.folder.file(name, suffix_of(format_name)))
        write_cocovid([tracks], self.folder.file(name, MAIN), info=dict(metadata))
        return tracks

    def _follow(self, reader: "VideoReader", frames: "list[FrameTracks]", progress: Progress) -> None:
        """Append each frame to ``frames`` as soon as its tracks are final, and draw it."""
        from res3d.tracking import stream_video
        from res3d.viz import SpreadPictures, TrackPainter, annotate_video, write_contact_sheet

        def collect(stream: "Iterable[FrameTracks]") -> "Iterator[FrameTracks]":
            for frame in stream:
                frames.append(frame)
                yield frame

        stream = collect(stream_video(reader, self.detector, **self.clips, settings=self.link))
        if not self.draw:
            for _ in stream:
                progress(1)
            return
        sheet = SpreadPictures(SHEET_FRAMES)
        annotate_video(
            reader,
            stream,
            self.folder.file(reader.path.stem, DRAWN),
            painter=TrackPainter(categories=self.model.categories),
            show=sheet.add if self.show_frames else None,
            progress=progress,
        )
        if self.show_frames:
            write_contact_sheet(sheet.pictures, self.folder.file(reader.path.stem, SHEET))

    def _tracks(self, reader: "VideoReader", frames: "list[FrameTracks]") -> "VideoTracks":
        from res3d.structures import VideoTracks

        return VideoTracks.from_frames(
            frames,
            name=reader.path.stem,
            fps=reader.fps or reader.info.fps,
            size=(reader.info.height, reader.info.width),
            categories=self.model.categories,
        )

    def _metadata(self, reader: "VideoReader") -> Metadata:
        """Return the settings and inputs that determine the result, as values that JSON preserves."""
        from res3d.weights import hash_weights

        return {
            "description": f"{DESCRIPTION} {__version__}",
            "video": identify(reader.path) | ({} if reader.stream is None else {"stream": reader.stream}),
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


def suffix_of(format_name: str) -> str:
    """Return the suffix of the files of a tracks format: ".txt" for "mot"."""
    from res3d.structures.formats import FORMATS

    suffix: str = FORMATS[format_name].suffixes[0]
    return suffix


def read_metadata(path: Path) -> Metadata | None:
    """Return the metadata of a CocoVID file that ``res3d track`` wrote; None for any other file."""
    from res3d.structures.formats import read_cocovid_info

    try:
        info = read_cocovid_info(path)
    except (OSError, ValueError):
        return None
    return info if str(info.get("description", "")).startswith(DESCRIPTION) else None


def is_annotated_video(path: Path) -> bool:
    """Return True for an annotated video that ``res3d track`` wrote, judged by the CocoVID file beside it."""
    return ResultFolder(path=path.parent, main=MAIN, others=(DRAWN,), read_metadata=read_metadata).is_result(path)
