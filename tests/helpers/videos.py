"""Video files made for tests, with PyAV alone: what the package's own writer makes is no outside truth."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_h264(path: Path, images: Sequence[np.ndarray], *, audio: bool = False, **options) -> None:
    """RGB images as lossless-looking H.264, moov in front so that a cut file still opens."""
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
    """An mp4 with a tone and no picture."""
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
    """(seconds from the first frame, RGB) straight from PyAV, single-threaded, in decoding order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
    return [(seconds - frames[0][0], image) for seconds, image in frames]


def cut(path: Path, share: float) -> Path:
    """A copy with only the first ``share`` of the bytes."""
    data = path.read_bytes()
    short = path.with_name(f"cut_{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short


def gray_with_bar(n: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Frame n, [H, W, 3]: gray of brightness 6 n with a white bar of n + 1 pixels."""
    image = np.full((height, width, 3), 6 * n % 256, np.uint8)
    image[: height // 4, : 1 + n % width] = 255
    return image
