"""Annotated videos: the frames of a video with its tracks."""

from collections.abc import Callable, Iterable
from pathlib import Path

from res3d.structures import FrameTracks
from res3d.video import VideoReader, VideoWriter
from res3d.viz.track_painter import Image, TrackPainter


def annotate_video(
    reader: VideoReader,
    tracks: Iterable[FrameTracks],
    path: str | Path,
    *,
    painter: TrackPainter,
    show: Callable[[Image], object] | None = None,
    progress: Callable[[int], object] = lambda frames: None,
) -> None:
    """Draw the tracks of a video on its frames and write them as an mp4.

    The frames have their original size. They have their original times relative to the start of the reader, or a
    constant rate if the reader resamples the video. The sound is left out. Frames are read and drawn one at a time, so
    that memory does not grow with the length of the video. An error leaves no file; Ctrl-C leaves the frames written so
    far as ``NAME.partial.mp4`` (see ``VideoWriter``).

    Args:
        reader: reader of the video.
        tracks: one entry per frame of the reader, in order: ``VideoTracks.frames()``, or a stream.
        path: the mp4 file to write.
        painter: a new painter, which has drawn no frames of another video.
        show: called with each picture after it is written, e.g. ``SpreadPictures.add`` for a contact sheet.
        progress: called with the number of frames written since the last call.

    Raises:
        VideoError: the video cannot be read.
        ValueError: ``tracks`` has more or fewer entries than the video has frames.
    """
    remaining = iter(tracks)
    with VideoWriter(path, fps=reader.fps or reader.info.fps) as writer:
        number = -1
        for number, (image, seconds) in enumerate(reader):
            frame = next(remaining, None)
            if frame is None:
                raise ValueError(f"tracks must have an entry for every frame of {reader.path}: {number} are too few")
            picture = painter.draw(image, frame, seconds)
            writer.write(picture, None if reader.fps else seconds - reader.start)
            if show is not None:
                show(picture)
            progress(1)
        if next(remaining, None) is not None:
            raise ValueError(f"tracks must have {number + 1} entries, one for every frame of {reader.path}, not more")
