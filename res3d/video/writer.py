"""Writer of H.264 mp4 files that appear under their name only when complete."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av

from res3d.files import hidden_place
from res3d.video.orientation import Image

TIME_BASE = Fraction(1, 90_000)  # exact for every common frame rate
MIN_FPS, MAX_FPS = 0.001, 90_000


class VideoWriter:
    """Writer of uint8 [H, W, 3] RGB frames as H.264 in an mp4 file. Also a context manager.

    The file appears under its name when the writer is closed. If the ``with`` block ends with an error, no new
    file remains; after Ctrl-C the frames written so far are saved as ``NAME.partial.mp4``. Frames with even width and
    height are stored as yuv420p, which all players support. Others are stored as yuv444p, because yuv420p cannot store
    odd sizes.

    Args:
        path: the file to write, ending in .mp4; its folder must exist.
        fps: frames per second, for frames that are written without a time; 0.001 to 90000.
        quality: constant rate factor of x264, from 0 (lossless for yuv444p) to 51 (worst).

    Raises:
        ValueError: ``fps`` or ``quality`` is out of range, or the path does not end in .mp4.
        FileNotFoundError: the folder does not exist.
    """

    def __init__(self, path: str | Path, *, fps: float = 25.0, quality: int = 20) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"path must end in .mp4, not {self.path.name!r}")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"{self.path.parent}: no such folder")
        if not MIN_FPS <= fps <= MAX_FPS:
            raise ValueError(f"fps must be from {MIN_FPS} to {MAX_FPS}, not {fps!r}")
        if not 0 <= quality <= 51:
            raise ValueError(f"quality must be from 0 to 51, not {quality!r}")
        self._rate = Fraction(fps).limit_denominator(1_000_000)
        self._quality = quality
        self._unfinished = hidden_place(self.path, ".unfinished.mp4")
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream
        self._closed = False
        self._next_seconds = Fraction(0)  # time of the next frame if it is written without a time
        self._last_tick = -1
        self._gap = round(1 / self._rate / TIME_BASE)

    def write(self, frame: Image, seconds: float | None = None) -> None:
        """Add a frame.

        Args:
            frame: uint8 [H, W, 3] RGB, with the size of the first frame.
            seconds: presentation time; by default 1 / ``fps`` after the previous frame.

        Raises:
            ValueError: the frame has the wrong dtype, shape or size, the time is not later than that of the previous
                frame, or the writer is closed.
        """
        if self._closed:
            raise ValueError(f"the writer of {self.path} is closed; frames can no longer be written")
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != "uint8" or 0 in frame.shape:
            raise ValueError(f"a frame must be uint8 [H, W, 3], not {frame.dtype} {frame.shape}")
        if self._container is None:
            self._open(frame.shape[1], frame.shape[0])
        if (frame.shape[1], frame.shape[0]) != (self._stream.width, self._stream.height):
            size = f"{self._stream.width}×{self._stream.height}"
            raise ValueError(f"a frame must be {size}, as the first one, not {frame.shape[1]}×{frame.shape[0]}")
        time = self._next_seconds if seconds is None else Fraction(seconds)
        tick = round(time / TIME_BASE)
        if tick <= self._last_tick:
            minimum = float((self._last_tick + 1) * TIME_BASE)
            raise ValueError(
                f"frame times must increase by at least 1/90000 s: expected ≥ {minimum:.6f} s, not {float(time):.6f} s"
            )
        if self._last_tick >= 0:
            self._gap = tick - self._last_tick
        self._last_tick, self._next_seconds = tick, time + 1 / self._rate
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture.pts, picture.time_base = tick, TIME_BASE
        self._mux(self._stream.encode(picture))

    def close(self) -> None:
        """Finish the file and move it to its name. Without frames, no file is created."""
        self._finish(self.path)

    def discard(self) -> None:
        """Close the writer and delete the unfinished file."""
        self._closed = True
        try:
            if self._container is not None:
                self._container.close()
        except (av.FFmpegError, OSError):
            pass  # the file is deleted anyway
        finally:
            self._container = None
            self._unfinished.unlink(missing_ok=True)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif isinstance(error, KeyboardInterrupt):
            self._finish(self.path.with_suffix(".partial.mp4"))
        else:
            self.discard()

    def _open(self, width: int, height: int) -> None:
        self._container = av.open(str(self._unfinished), "w", format="mp4", options={"movflags": "faststart"})
        # With macroblock-tree rate control, x264 is not deterministic, even with one thread.
        options = {"crf": str(self._quality), "x264-params": "mbtree=0"}
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        self._stream.codec_context.time_base = TIME_BASE

    def _mux(self, packets: "Iterable[av.Packet[av.VideoStream]]") -> None:
        assert self._container is not None  # opened by the first frame
        for packet in packets:
            if packet.pts == self._last_tick:
                packet.duration = self._gap  # the last frame lasts as long as the one before it
            self._container.mux(packet)

    def _finish(self, path: Path) -> None:
        self._closed = True
        if self._container is None:
            return
        try:
            self._mux(self._stream.encode())
            self._container.close()
        except BaseException:
            self.discard()
            raise
        self._container = None
        try:
            self._unfinished.replace(path)
        except OSError:
            self.discard()
            raise
