"""Frames decoded in segments are those decoded in one piece, pixel by pixel."""

import threading
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import cut, encode, gray_with_bar

from res3d.video import TruncatedVideoError, VideoReader, segments
from res3d.video.segments import plan_segments


def noisy(n: int) -> np.ndarray:
    """A picture that needs its neighbours: most of the bits are in what moves."""
    image = np.roll(gray_with_bar(40, 96, 64), 2 * n, axis=1).copy()
    image[20:40, (3 * n) % 60 : (3 * n) % 60 + 20] = np.random.default_rng(n).integers(0, 255, (20, 20, 3))
    return image


IMAGES = [noisy(n) for n in range(150)]
CODECS = {
    "closed.mp4": ("libx264", {"x264-params": "keyint=30:scenecut=0:bframes=3:open-gop=0"}),
    "open.mp4": ("libx264", {"x264-params": "keyint=30:scenecut=0:bframes=3:open-gop=1"}),
    "open.mkv": ("libx264", {"x264-params": "keyint=30:scenecut=0:bframes=3:open-gop=1"}),
    "parts.mpg": ("mpeg2video", {"g": "15", "bf": "2"}),
    "parts.mov": ("mpeg4", {"g": "25", "bf": "2"}),
    "parts.webm": ("libvpx-vp9", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
}

FALL_BACK = ("parts.mpg", "parts.webm")  # seeking does not always land on the keyframe asked for


def made(folder: Path, name: str) -> Path:
    codec, options = CODECS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec} here")
    encode(folder / name, IMAGES, codec=codec, options=options)
    return folder / name


def frames(path: Path, **settings) -> list[tuple]:
    return [(f.index, f.time, f.duration, f.rgb().tobytes()) for f in VideoReader(path, **settings).frames()]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("decoders", [2, 4])
def test_the_same_frames_times_and_pixels(tmp_path, name, decoders, monkeypatch):
    path = made(tmp_path, name)
    expected = frames(path)
    if name not in FALL_BACK:  # else it would give the same by decoding in one piece after all
        monkeypatch.setattr(segments, "FrameDecoder", None)
    assert frames(path, decoders=decoders) == expected
    assert not [t for t in threading.enumerate() if t.name == "res3d-segment"]


@pytest.mark.parametrize("name", ["closed.mp4", "open.mp4", "open.mkv", "parts.webm"])
def test_segments_begin_at_keyframes_and_hold_every_frame(tmp_path, name):
    planned = plan_segments(made(tmp_path, name))
    assert len(planned) == 5
    assert sum(len(segment.stamps) for segment in planned) == len(IMAGES)


def test_ranges_and_rates_are_the_same(tmp_path):
    path = made(tmp_path, "open.mp4")
    for settings in ({"start": 1.5, "end": 4.0}, {"fps": 10.0}, {"end": 0.5}):
        assert frames(path, decoders=3, **settings) == frames(path, **settings)


def test_few_frames_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "WAITING_BYTES", 1)
    path = made(tmp_path, "closed.mp4")
    assert frames(path, decoders=3) == frames(path)


def test_a_segment_that_is_not_as_announced_is_decoded_in_one_piece(tmp_path, monkeypatch):
    """From where it goes wrong on; nothing is given twice."""
    real = segments._decode_segment
    path = made(tmp_path, "closed.mp4")
    expected = frames(path)

    def broken(container, segment):
        for number, timed in enumerate(real(container, segment)):
            if segment.stamps[0] > 0 and number == 7:
                raise segments._NotAsAnnouncedError("as if")
            yield timed

    monkeypatch.setattr(segments, "_decode_segment", broken)
    assert frames(path, decoders=2) == expected


def test_an_avi_is_decoded_in_one_piece(tmp_path):
    path = tmp_path / "a.avi"
    encode(path, IMAGES, codec="mpeg4", options={"g": "25"})
    assert plan_segments(path) == []
    assert frames(path, decoders=2) == frames(path)


def test_a_truncated_file_is_told_all_the_same(tmp_path):
    path = cut(made(tmp_path, "closed.mp4"), 0.6)
    with pytest.raises(TruncatedVideoError):
        frames(path, decoders=2)
    kept = VideoReader(path, decoders=2, allow_truncated=True)
    assert 0 < sum(1 for _ in kept.frames()) < len(IMAGES)
    assert kept.damage


def test_leaving_early_ends_the_threads(tmp_path):
    reading = VideoReader(made(tmp_path, "closed.mp4"), decoders=3).frames()
    next(reading)
    reading.close()
    assert not [t for t in threading.enumerate() if t.name == "res3d-segment"]


def test_no_decoders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="decoders must be a whole number ≥ 1, not 0"):
        VideoReader(tmp_path / "v.mp4", decoders=0)
