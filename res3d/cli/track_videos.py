"""The work of ``res3d track`` on one video after the other, and the files that it writes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from res3d.cli.command import Keywords
from res3d.cli.errors import Interrupted
from res3d.cli.progress import Progress, show_progress
from res3d.files import identify
from res3d.results import Metadata, ResultFolder
from res3d.version import __version__

if TYPE_CHECKING:
    from res3d.detection import MaskRCNN3d
    from res3d.inference import OptimizedModel
    from res3d.structures import FrameTracks, VideoTracks
    from res3d.tracking import LinkSettings
    from res3d.video import VideoReader

MAIN, DRAWN, SHEET = ".json", "_tracked.mp4", "_tracked.png"  # what the names of files end in
MAIN_FORMAT = "cocovid"
SHOWN = 9  # frames on a contact sheet
OURS = "tracks by res3d"  # how the description in a file's metadata begins


@dataclass(frozen=True, kw_only=True)
class VideoTracker:
    """All that videos are tracked with.

    Raises:
        ImportError: a library that the asked-for files need is not installed.
        ValueError: settings that do not go together, known before hours of work.
    """

    model: "MaskRCNN3d"
    detector: "OptimizedModel"
    """The same model, optimized."""
    clips: Keywords
    """Keywords of ``stream_video``."""
    link: "LinkSettings"
    formats: tuple[str, ...]
    """Formats besides CocoVID."""
    folder: ResultFolder
    draw: bool
    show_frames: bool

    def __post_init__(self) -> None:
        from res3d.structures.formats import FORMATS
        from res3d.tracking import check_clips

        if self.draw:
            from res3d.viz import TrackPainter

            TrackPainter()
        if self.show_frames and not self.draw:
            raise ValueError("--show-frames shows drawn frames: it does not go with --no-draw")
        found = {name for head in self.model.tasks.values() for name in head.results}
        for name in self.formats:
            FORMATS[name].check_installed()
            if missing := sorted(FORMATS[name].requires - found):
                raise ValueError(f"--formats {name}: the detector has no {', '.join(missing)}")
        check_clips(**self.clips)

    def run(self, reader: "VideoReader") -> "VideoTracks":
        """Track one video and write its files; what is finished already is read."""
        from res3d.structures import VideoTracks

        path, main, metadata = reader.path, self.folder.file(reader.path.stem, MAIN), self._metadata(reader)
        if self.folder.is_finished(path, metadata):
            print(f"{path}: {main} is finished already (--overwrite makes it again)")
            return VideoTracks.from_cocovid(main)
        if (line := self.folder.replacement(path, metadata)) is not None:
            print(f"{path}: {line}")
        began = time.perf_counter()
        with self.folder.writing(path), show_progress(path.name, reader.num_frames) as progress:
            tracks = self._write(reader, {**metadata, **self.folder.bookkeeping(path)}, progress)
        seconds = time.perf_counter() - began
        files = ", ".join(map(str, self.folder.files(path.stem)))
        speed = f"{seconds:.1f} s, {tracks.num_frames / seconds:.1f} frames/s"
        count = f"{len(tracks)} {'track' if len(tracks) == 1 else 'tracks'}"
        print(f"{path}: {tracks.num_frames} frames, {count} -> {files} ({speed})")
        if tracks.num_frames < self.link.min_length:
            print(f"{path}: fewer frames than --min-length {self.link.min_length}, so no track counts")
        if reader.damage:
            print(f"{path}: truncated or damaged: {reader.damage}; the frames that decode were kept")
        return tracks

    def _write(self, reader: "VideoReader", metadata: Metadata, progress: Progress) -> "VideoTracks":
        """Track and write all files; after Ctrl-C, what there is under other names."""
        from res3d.structures.formats import FORMATS, write_cocovid

        name, frames = reader.path.stem, list["FrameTracks"]()
        try:
            self._follow(reader, frames, progress)
        except KeyboardInterrupt:
            if not frames:
                raise
            partials = self.folder.partials(name)
            write_cocovid([self._tracks(reader, frames)], partials[0], info=dict(metadata))
            kept = " and ".join(str(partial) for partial in partials if partial.exists())
            raise Interrupted(f"what was finished is kept, and the frames so far of {name} in {kept}") from None
        tracks = self._tracks(reader, frames)
        for format_name in self.formats:
            FORMATS[format_name].write(tracks, self.folder.file(name, suffix_of(format_name)))
        write_cocovid([tracks], self.folder.file(name, MAIN), info=dict(metadata))
        return tracks

    def _follow(self, reader: "VideoReader", frames: "list[FrameTracks]", progress: Progress) -> None:
        """Fill ``frames``, each as soon as it is final, and draw it."""
        from res3d.tracking import stream_video
        from res3d.viz import SpreadPictures, TrackPainter, annotate_video, write_contact_sheet

        def remember(stream: "Iterable[FrameTracks]") -> "Iterator[FrameTracks]":
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
            self.folder.file(reader.path.stem, DRAWN),
            painter=TrackPainter(categories=self.model.categories),
            show=shown.add if self.show_frames else None,
            progress=progress,
        )
        if self.show_frames:
            write_contact_sheet(shown.pictures, self.folder.file(reader.path.stem, SHEET))

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
        """What decides the result, as JSON gives it back."""
        from res3d.weights import hash_weights

        return {
            "description": f"{OURS} {__version__}",
            "video": identify(reader.path),
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
    """Return what the names of files of a tracks format end in."""
    from res3d.structures.formats import FORMATS

    suffix: str = FORMATS[format_name].suffixes[0]
    return suffix


def read_metadata(path: Path) -> Metadata | None:
    """Return the metadata of a file of tracks that ``res3d track`` wrote; None of any other file."""
    from res3d.structures.formats import read_cocovid_info

    try:
        info = read_cocovid_info(path)
    except (OSError, ValueError):
        return None
    return info if str(info.get("description", "")).startswith(OURS) else None


def drawn_by_us(path: Path) -> bool:
    """Return True for a video with tracks drawn on it, made by ``res3d track`` in the same folder."""
    return ResultFolder(path=path.parent, main=MAIN, others=(DRAWN,), read_metadata=read_metadata).made(path)
