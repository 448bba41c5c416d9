"""Frames decoded in segments equal those decoded sequentially, pixel by pixel."""

import threading
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import cut, encode, gray_with_bar

from res3d.video import TruncatedVideoError, VideoReader, segments
from res3d.video.segments import plan_segments


def moving_noise(n: int) -> np.ndarray:
    """Return a frame that cannot be decoded without its neighbors, because most of its content moves."""
    image = np.roll(gray_with_bar(40, 96, 64), 2 * n, axis=1).copy()
    image[20:40, (3 * n) % 60 : (3 * n) % 60 + 20] = np.random.default_rng(n).integers(0, 255, (20, 20, 3))
    return image


IMAGES = [moving_noise(n) for n in range(150)]
CODECS = {
    "closed.mp4": ("libx264", {"x264-params": "keyint=30:scenecut=0:bframes=3:open-gop=0"}),
    "open.mp4": ("libx264", {"x264-params": "keyint=30:scenecut=0:bframes=3:open-gop=1"}),
    "open.mkv": ("libx264", {"x264-params": "keyint=30:scenecut=0:bframes=3:open-gop=1"}),
    "parts.mpg": ("mpeg2video", {"g": "15", "bf": "2"}),
    "parts.mov": ("mpeg4", {"g": "25", "bf": "2"}),
    "parts.webm": ("libvpx-vp9", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
}

SEQUENTIAL = ("parts.mpg", "parts.webm")  # decoded sequentially: seeking may miss the requested keyframe


@pytest.fixture(scope="module")
def write_video(tmp_path_factory):
    """Function that writes a video of ``CODECS`` on its first call with a name, and returns its path."""
    folder = tmp_path_factory.mktemp("segments")

    def write(name: str) -> Path:
        codec, options = CODECS[name]
        if codec not in av.codecs_available:
            pytest.skip(f"{codec} is not available")
        if not (folder / name).exists():
            encode(folder / name, IMAGES, codec=codec, options=options)
        return folder / name

    return write


def frames(path: Path, **settings) -> list[tuple]:
    return [(f.index, f.time, f.duration, f.rgb().tobytes()) for f in VideoReader(path, **settings).frames()]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("decoders", [2, 4])
def test_parallel_decoding_gives_the_same_frames(write_video, name, decoders, monkeypatch):
    path = write_video(name)
    expected = frames(path)
    if name not in SEQUENTIAL:  # fail if the video is decoded sequentially
        monkeypatch.setattr(segments, "FrameDecoder", None)
    assert frames(path, decoders=decoders) == expected
    assert not [t for t in threading.enumerate() if t.name == "res3d-segment"]


@pytest.mark.parametrize("name", ["closed.mp4", "open.mp4", "open.mkv", "parts.webm"])
def test_segments_contain_every_frame(write_video, name):
    planned = plan_segments(write_video(name))
    assert len(planned) == 5
    assert sum(len(segment.stamps) for segment in planned) == len(IMAGES)


def test_parallel_decoding_of_ranges_and_rates_gives_the_same_frames(write_video):
    path = write_video("open.mp4")
    for settings in ({"start": 1.5, "end": 4.0}, {"fps": 10.0}, {"end": 0.5}):
        assert frames(path, decoders=3, **settings) == frames(path, **settings)


def test_one_waiting_frame_per_segment_is_enough(write_video, monkeypatch):
    monkeypatch.setattr(segments, "WAITING_BYTES", 1)
    path = write_video("closed.mp4")
    assert frames(path, decoders=3) == frames(path)


def test_segment_with_unexpected_frames_is_decoded_sequentially(write_video, monkeypatch):
    """The rest of the video is decoded sequentially, and no frame is yielded twice."""
    decode_segment = segments._decode_segment
    path = write_video("closed.mp4")
    expected = frames(path)

    def broken(container, segment, stream):
        for number, timed in enumerate(decode_segment(container, segment, stream)):
            if segment.stamps[0] > 0 and number == 7:
                raise segments._UnexpectedFrameError("unexpected")
            yield timed

    monkeypatch.setattr(segments, "_decode_segment", broken)
    assert frames(path, decoders=2) == expected


def test_avi_is_decoded_sequentially(tmp_path):
    path = tmp_path / "a.avi"
    encode(path, IMAGES, codec="mpeg4", options={"g": "25"})
    assert plan_segments(path) == []
    assert frames(path, decoders=2) == frames(path)


def test_truncated_file_is_refused_or_damage_is_set(write_video):
    path = cut(write_video("closed.mp4"), 0.6)
    with pytest.raises(TruncatedVideoError):
        frames(path, decoders=2)
    reader = VideoReader(path, decoders=2, allow_truncated=True)
    assert 0 < sum(1 for _ in reader.frames()) < len(IMAGES)
    assert reader.damage


def test_closing_the_iteration_ends_the_threads(write_video):
    iterator = VideoReader(write_video("closed.mp4"), decoders=3).frames()
    next(iterator)
    iterator.close()
    assert not [t for t in threading.enumerate() if t.name == "res3d-segment"]


def test_zero_decoders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="decoders must be a whole number ≥ 1, not 0"):
        VideoReader(tmp_path / "v.mp4", decoders=0)
