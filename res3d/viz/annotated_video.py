"""A video with its tracks drawn on it."""

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
    """Write an mp4 of the frames that ``reader`` gives, at their own times and size, with their tracks on them.

    The sound is left out. Frames are read and drawn one at a time: memory does not grow with the video. The file
    appears whole or not at all (after Ctrl-C as ``NAME.partial.mp4``; see ``VideoWriter``).

    Args:
        tracks: one entry per frame, in order: ``VideoTracks.frames()``, or a stream.
        painter: a fresh one, with the names of the classes.
        show: called with each picture as it is written; ``SpreadPictures.add`` for a contact sheet.
        progress: called with the number of frames written since the last call.

    Raises:
        ValueError: tracks of another number of frames than the video has.
    """
    waiting = iter(tracks)
    with VideoWriter(path, fps=reader.fps or reader.info.fps) as writer:
        number = -1
        for number, (image, seconds) in enumerate(reader):
            frame = next(waiting, None)
            if frame is None:
                raise ValueError(f"{reader.path}: there are tracks for {number} frames, and more frames than that")
            picture = painter.draw(image, frame, seconds)
            writer.write(picture, None if reader.fps else seconds - reader.start)
            if show is not None:
                show(picture)
            progress(1)
        if next(waiting, None) is not None:
            raise ValueError(f"{reader.path}: has {number + 1} frames, and there are tracks for more")
