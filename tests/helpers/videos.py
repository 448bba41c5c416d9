"""Video files for tests, written and read with PyAV only, so that they are independent of the package's writer."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_h264(path: Path, images: Sequence[np.ndarray], *, audio: bool = False, **options) -> None:
    """Write RGB images as H.264 of high quality. The index comes first in the file, so that a truncated file opens."""
    encode(path, images, codec="libx264", options={"crf": "8"}, audio=audio, **options)


def encode(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    codec: str,
    rate: Fraction | int = 25,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int | None = None,
    display_matrix: Sequence[int] | None = None,
    audio: bool = False,
    color: dict[str, int] | None = None,
) -> None:
    """Write RGB images as a video.

    Args:
        path: the file; its suffix selects the container.
        images: uint8 [H, W, 3] frames.
        codec, rate, pixel_format, options: arguments of the encoder; ``rate`` is in frames per second.
        ticks: presentation time of each frame in units of ``time_base``; by default at a constant rate.
        time_base: seconds per tick.
        rotation, display_matrix: display orientation to store in the file.
        audio: add an audio track.
        color: color attributes of the codec context.
    """
    container_options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        if time_base:
            stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if display_matrix is not None:
            stream.set_display_matrix(list(display_matrix))
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        sound = container.add_stream("aac", rate=48000, layout="mono") if audio else None
        for n, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[n], time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _encode_tone(container, sound, seconds=len(images) / float(rate))


def write_sound(path: Path, seconds: float = 1.0) -> None:
    """Write an mp4 file with a tone and no video stream."""
    with av.open(str(path), "w") as container:
        _encode_tone(container, container.add_stream("aac", rate=48000, layout="mono"), seconds)


def _encode_tone(container, stream, seconds: float) -> None:
    for start in range(0, int(seconds * 48000), 1024):
        tone = np.sin(np.arange(start, start + 1024) * 0.05).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def decode_with_pyav(path: Path) -> list[tuple[float, np.ndarray]]:
    """Decode with PyAV and one thread; return (seconds from the first frame, RGB) in the decoder's order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
    return [(seconds - frames[0][0], image) for seconds, image in frames]


def cut(path: Path, share: float) -> Path:
    """Write a copy with only the first ``share`` of the bytes and return its path."""
    data = path.read_bytes()
    truncated = path.with_name(f"cut_{path.name}")
    truncated.write_bytes(data[: int(len(data) * share)])
    return truncated


def write_two_streams(path: Path, sizes: Sequence[tuple[int, int]], num_frames: int = 20) -> None:
    """Write one video stream per size (height, width); the last one is the default track."""
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in sizes:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            streams.append(stream)
        streams[-1].disposition = av.stream.Disposition.default
        for n in range(num_frames):
            for stream in streams:
                image = gray_with_bar(n, stream.width, stream.height)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())


def gray_with_bar(n: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Return frame n, uint8 [H, W, 3]: gray of brightness 6 n (mod 256) with a white bar of n + 1 pixels at the top."""
    image = np.full((height, width, 3), 6 * n % 256, np.uint8)
    image[: height // 4, : 1 + n % width] = 255
    return image
