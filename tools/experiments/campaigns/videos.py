#!/usr/bin/env python
"""Reads damaged videos, and counts those of which frames were lost in silence.

    python tools/experiments/campaigns/videos.py [--count 500] [--seed 0]

Each case is a video of every container and codec that PyAV writes here, damaged in one way: cut,
bits flipped, bytes zeroed, swapped, inserted, removed, in the header, the index, the payload or the last packet, and
edit lists. Outcomes:

    refused       the reader raised a VideoError, before or after it gave frames
    whole         as many frames as the undamaged file has, no damage reported
    noted         fewer frames and no error, but a note (`VideoReader.notes`)
    lost (told)   fewer or more frames and no error, although the container or FFmpeg tells: must be 0
    lost          the same, and nothing tells
    false alarm   an undamaged file was refused: must be 0

Of the whole, "changed" counts those with pictures unlike the undamaged file"s: FFmpeg conceals some errors.
"""

import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from cases import Outcome, main, run_cases

FRAMES, HEIGHT, WIDTH = 60, 64, 96
# suffix, codec, pixel format, options
FORMATS = [
    (".mp4", "libx264", "yuv420p", {"g": "20"}),
    (".mp4", "libx265", "yuv420p", {"x265-params": "log-level=none:keyint=20"}),
    (".mp4", "mpeg4", "yuv420p", {"bf": "2"}),
    (".mp4", "libsvtav1", "yuv420p", {"g": "20"}),
    (".mp4", "mjpeg", "yuvj420p", {}),
    (".mov", "prores_ks", "yuv422p10le", {}),
    (".mov", "libx264", "yuv420p", {"g": "20"}),
    (".mkv", "libx264", "yuv420p", {"g": "20"}),
    (".mkv", "libvpx-vp9", "yuv420p", {"g": "20", "deadline": "realtime", "cpu-used": "8"}),
    (".mkv", "ffv1", "yuv420p", {}),
    (".webm", "libvpx", "yuv420p", {"g": "20", "deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "10"}),
    (".webm", "libvpx-vp9", "yuv420p", {"g": "20"}),
    (".avi", "mpeg4", "yuv420p", {}),
    (".avi", "mjpeg", "yuvj420p", {}),
    (".avi", "libx264", "yuv420p", {"g": "20", "bf": "0"}),
    (".ts", "libx264", "yuv420p", {"g": "20"}),
    (".ts", "mpeg2video", "yuv420p", {"g": "12"}),
    (".mpg", "mpeg1video", "yuv420p", {"g": "12"}),
    (".flv", "flv", "yuv420p", {}),
    (".flv", "libx264", "yuv420p", {"g": "20"}),
    (".wmv", "wmv2", "yuv420p", {}),
    (".mxf", "mpeg2video", "yuv422p", {"g": "12"}),
    (".3gp", "mpeg4", "yuv420p", {}),
    (".gif", "gif", "rgb8", {}),
]
DAMAGES = ("cut", "flip", "zero", "ones", "swap", "insert", "remove", "last packet", "edit list")
REGIONS = ("header", "payload", "end", "anywhere")


@dataclass(frozen=True)
class Case:
    path: Path
    seed: int
    damage: str | None
    frames: int
    """Of the undamaged file."""


def picture(number: int) -> np.ndarray:
    """A textured picture with the number in six bars, [H, W, 3]."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([rows * 2 + number, columns + 3 * number, rows + columns - number], axis=-1).astype(np.uint8)
    for bit in range(6):
        image[8:40, 16 * bit : 16 * bit + 12] = 235 if number >> bit & 1 else 20
    return image


def write(path: Path, codec: str, pixel_format: str, options: dict[str, str], *, sound: bool, early: bool) -> None:
    """Write a video; with ``early`` its first pictures lie before time 0, which an edit list of mp4 cuts off."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        audio = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts = number - (3 if early else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for start in range(0, FRAMES * 1920 if audio else 0, 1024):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 48000, start
            container.mux(audio.encode(tone))  # type: ignore[union-attr]
        if audio:
            container.mux(audio.encode())


def write_sources(folder: Path) -> Iterator[Path]:
    for number, (suffix, codec, pixel_format, options) in enumerate(FORMATS):
        for sound in (False, True):
            path = folder / f"{number:02d}_{codec}{'_sound' if sound else ''}{suffix}"
            if sound and suffix not in (".mp4", ".mov", ".mkv", ".ts", ".flv"):
                continue
            early = suffix == ".mp4" and codec == "libx264" and sound
            write(path, codec, pixel_format, options, sound=sound, early=early)
            yield path


def real_videos() -> list[Path]:
    """The developers' real videos, where they are."""
    folder = Path(__file__).parents[4] / "shared" / "data" / "videos"
    return sorted(folder.iterdir()) if folder.is_dir() else []


# ---- damage


def packet_range(path: Path) -> tuple[int, int, tuple[int, int]]:
    """First byte and end of the packets of a file, and (position, size) of the last video packet."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.pos is not None and p.size]
    if not packets:
        return 0, path.stat().st_size, (0, path.stat().st_size)
    return min(p for p, _ in packets), max(p + s for p, s in packets), max(packets)


def damaged(path: Path, damage: str, rng: random.Random) -> bytes:
    data = bytearray(path.read_bytes())
    first, end, last = packet_range(path)
    low, high = {"header": (0, first), "payload": (first, end), "end": (end, len(data)), "anywhere": (0, len(data))}[
        rng.choice(REGIONS)
    ]
    if high - low < 8:
        low, high = first, end
    size = min(rng.choice([1, 4, 16, 64, 188, 512, 2048]), high - low - 1)
    start = rng.randrange(low, high - size)
    if damage == "cut":
        del data[rng.randrange(1, len(data)) :]
    elif damage == "flip":
        for _ in range(rng.choice([1, 1, 4, 32])):
            data[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
    elif damage in ("zero", "ones"):
        data[start : start + size] = (b"\0" if damage == "zero" else b"\xff") * size
    elif damage == "swap":
        other = rng.randrange(low, high - size)
        data[start : start + size], data[other : other + size] = data[other : other + size], data[start : start + size]
    elif damage == "insert":
        data[start:start] = rng.randbytes(size)
    elif damage == "remove":
        del data[start : start + size]
    elif damage == "last packet":
        data[last[0] : last[0] + last[1]] = rng.choice([b"\xff", b"\0"]) * last[1]
    elif damage == "edit list":
        at = data.find(b"elst")
        if at < 0:
            return damaged(path, "flip", rng)
        duration, begin = struct.unpack_from(">Ii", data, at + 12)
        change = rng.choice([(duration // 2, begin), (duration, begin + 5000), (duration * 2, begin), (duration, -1)])
        struct.pack_into(">Ii", data, at + 12, *change)
    return bytes(data)


# ---- reading


def read(path: Path, decoders: int = 1) -> tuple[tuple[str, ...], list[np.ndarray], str | None]:
    """The reader"s notes, small copies of its frames, and the error in which it ended."""
    from res3d.video import VideoError, VideoReader

    pictures: list[np.ndarray] = []
    try:
        reader = VideoReader(path, decoders=decoders)
        for image, _ in reader:
            pictures.append(image[::8, ::8, 1].copy())
    except VideoError as error:
        return (), pictures, str(error)
    return reader.notes, pictures, None


def tells(path: Path) -> str | None:
    """Return the sign of lost frames that a plain pass with one thread shows, or None; written without res3d."""
    sizes, given, discarded, invisible, has_begun = 0, 0, 0, 0, False
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            declared, container_name, codec = stream.frames, container.format.name, stream.codec_context.name
            for packet in container.demux(stream):
                has_begun = has_begun or bool(packet.is_keyframe)
                if packet.size and has_begun:
                    sizes += 1
                    discarded += bool(packet.is_discard)
                    invisible += codec == "vp8" and not bytes(packet)[0] & 0x10
                    if packet.is_corrupt:
                        return "a packet is marked corrupt"
                given += len(packet.decode())
    except (av.FFmpegError, IndexError) as error:
        return f"{type(error).__name__}: {error}"
    if given < sizes - discarded - invisible and container_name != "gif":
        return f"{sizes} packets, {discarded} discarded, {given} frames"
    if declared and declared - discarded - invisible > given:
        return f"{declared} declared, {given} frames"
    return None


def run(case: Case) -> tuple[str, str]:
    rng = random.Random(case.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / case.path.name
        path.write_bytes(case.path.read_bytes() if case.damage is None else damaged(case.path, case.damage, rng))
        notes, pictures, error = read(path, rng.choice([1, 2]))
        if error is not None:
            return ("refused", error) if case.damage else ("false alarm", error)
        if len(pictures) != case.frames and notes:
            return "noted", notes[0]
        if (count := len(pictures)) != case.frames:
            told = tells(path)
            return ("lost (told)" if told else "lost"), f"{count} of {case.frames} frames; {told}"
    _, originals, _ = read(case.path)
    pairs = zip(pictures, originals, strict=True)
    same = all(a.shape == b.shape and np.abs(a.astype(int) - b).max() <= 8 for a, b in pairs)
    return ("whole" if same else "whole, changed"), ""


def make_cases(folder: Path, count: int, seed: int) -> list[Case]:
    paths = [*write_sources(folder), *real_videos()]
    frames = {path: len(read(path)[1]) for path in paths}
    rng = random.Random(seed)
    cases = [Case(path, 0, None, frames[path]) for path in paths]
    for number in range(count):
        # Large real files only now and then: they take seconds
        path = rng.choice([p for p in paths if p.stat().st_size < 2**20] if rng.random() < 0.97 else paths)
        cases.append(Case(path, seed * 10**6 + number, rng.choice(DAMAGES), frames[path]))
    return cases


def campaign(
    count: int, seed: int, *, workers: int = 2, show: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for outcome in run_cases(run, make_cases(Path(folder), count, seed), workers=workers):
            show(outcome)
            outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    main(
        __doc__,
        campaign,
        count=500,
        good=["refused", "whole", "whole, changed", "noted", "lost"],
        bad=["lost (told)", "false alarm"],
    )
