from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
from helpers.videos import encode, gray_with_bar, write_sound

from res3d.video import VideoError
from res3d.video.container import (
    FrameDecoder,
    declared_seconds,
    error_text,
    frame_rate,
    missing_seconds,
    open_container,
    timed_streams,
    update_end,
    video_stream,
)


def stream(**changes) -> SimpleNamespace:
    """Return a stream of 100 frames at 25 fps with a time base of 1/100 s."""
    values = {
        "index": 0,
        "time_base": Fraction(1, 100),
        "average_rate": Fraction(25),
        "guessed_rate": None,
        "start_time": 0,
        "duration": 400,
        "frames": 100,
    }
    return SimpleNamespace(**(values | changes))


def container(name: str = "mov,mp4", duration: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(format=SimpleNamespace(name=name), duration=duration)


def packet(pts: int | None, dts: int | None = None, duration: int | None = None, **changes) -> SimpleNamespace:
    values = {"pts": pts, "dts": dts, "duration": duration, "time_base": Fraction(1, 100), "stream": stream()}
    return SimpleNamespace(**(values | changes))


def test_update_end_keeps_the_latest_end_of_each_stream():
    ends: dict[int, Fraction] = {}
    update_end(packet(200, duration=8), ends, Fraction(1, 25))
    assert ends == {0: Fraction(208, 100)}
    update_end(packet(100), ends, Fraction(1, 25))
    assert ends == {0: Fraction(208, 100)}
    update_end(packet(None, dts=300), ends, Fraction(1, 25))
    assert ends == {0: Fraction(304, 100)}
    update_end(packet(None), ends, Fraction(1, 25))
    update_end(packet(900, time_base=None), ends, Fraction(1, 25))
    update_end(packet(0, stream=stream(index=3)), ends, Fraction(1, 25))
    assert ends == {0: Fraction(304, 100), 3: Fraction(1, 25)}


@pytest.mark.parametrize(
    ("end", "missing"),
    [(4.0, 0), (3.98, 0), (3.5, Fraction(1, 2)), (None, 4)],
    ids=["complete", "rounding", "cut", "no packet"],
)
def test_missing_seconds_of_a_stream_with_declared_duration(end, missing):
    ends = {1: Fraction(9)} if end is None else {0: Fraction(str(end)), 1: Fraction(9)}
    assert missing_seconds(container(), stream(), ends) == missing


def test_missing_seconds_count_from_the_start_of_the_stream():
    assert missing_seconds(container(), stream(start_time=500), {0: Fraction(9)}) == 0
    assert missing_seconds(container(), stream(start_time=500), {0: Fraction(7)}) == 2


@pytest.mark.parametrize(("name", "duration"), [("matroska,webm", None), ("asf", 400)])
def test_missing_seconds_of_formats_that_declare_the_duration_of_the_file(name, duration):
    """The video stream may be shorter than the longest stream."""
    file = container(name, duration=4 * av.time_base)
    assert missing_seconds(file, stream(duration=duration), {0: Fraction(1), 1: Fraction(4)}) == 0
    assert missing_seconds(file, stream(duration=duration), {0: Fraction(1), 1: Fraction(3)}) == 1


def test_missing_seconds_of_avi_use_the_declared_number_of_frames():
    ends = {0: Fraction(3)}
    assert missing_seconds(container("avi"), stream(duration=300, frames=100), ends) == 1
    assert missing_seconds(container("avi"), stream(duration=300, frames=75), ends) == 0


def test_missing_seconds_without_declared_duration_are_0():
    assert missing_seconds(container("mpegts"), stream(duration=None), {0: Fraction(1)}) == 0


def test_declared_seconds_fall_back_to_the_duration_of_the_file():
    assert declared_seconds(container(), stream()) == 4
    assert declared_seconds(container(duration=3 * av.time_base), stream(duration=None)) == 3
    assert declared_seconds(container(), stream(duration=None)) is None


def test_frame_rate_falls_back_to_guess_and_default():
    assert frame_rate(stream()) == 25
    assert frame_rate(stream(average_rate=None, guessed_rate=Fraction(10))) == 10
    assert frame_rate(stream(average_rate=None)) == 25


def test_error_text_has_no_number():
    assert error_text(FileNotFoundError(2, "No such file or directory", "a.mp4")) == "No such file or directory"
    assert error_text(ValueError("plain")) == "plain"


def test_streams_of_an_opened_file(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, [gray_with_bar(n) for n in range(3)], codec="libx264", audio=True)
    with open_container(path) as opened:
        assert video_stream(opened).type == "video"
        assert [each.type for each in timed_streams(opened)] == ["video", "audio"]


def test_decoder_yields_frames_in_presentation_order(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, [gray_with_bar(n) for n in range(30)], codec="libx264", options={"bf": "3"})
    with open_container(path) as opened:
        decoder = FrameDecoder(opened, path, allow_truncated=False, threads=1)
        times = [seconds for seconds, _ in decoder]
    assert [time - times[0] for time in times] == [Fraction(n, 25) for n in range(30)]
    assert decoder.damage is None


def test_file_without_video_stream_is_closed_and_refused(tmp_path):
    write_sound(tmp_path / "a.mp4", 0.1)
    with pytest.raises(VideoError, match=r"a\.mp4: holds only audio, no video"):
        open_container(tmp_path / "a.mp4")
