"""Files that end or break before their end: refused, or kept on request, never passed off as whole."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import cut, encode, gray_with_bar, write_h264

from res3d.video import TruncatedVideoError, VideoError, VideoReader


def busy(n: int) -> np.ndarray:
    noise = np.random.default_rng(n).integers(0, 60, (48, 64, 3))
    return np.clip(gray_with_bar(n) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(params=[".mp4", ".mkv", ".webm", ".avi"])
def whole(request, tmp_path):
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(request.param, "libx264")
    path = tmp_path / f"video{request.param}"
    encode(path, [busy(n) for n in range(100)], codec=codec, options={"g": "10"})
    return path


@pytest.mark.parametrize("share", [0.4, 0.7, 0.85])
def test_a_cut_file_is_refused(whole, share):
    path = cut(whole, share)
    with pytest.raises(TruncatedVideoError, match=rf"{path.name}: truncated or damaged: "):
        list(VideoReader(path))


def test_a_cut_file_can_be_kept_and_says_so(whole):
    assert len(list(VideoReader(whole))) == 100
    reader = VideoReader(cut(whole, 0.7), allow_truncated=True)
    kept = list(reader)
    assert 20 <= len(kept) < 100
    assert reader.damage
    assert [seconds for _, seconds in kept] == pytest.approx([n / 25 for n in range(len(kept))], abs=0.002)


def test_a_range_before_the_break_is_whole(whole):
    assert len(list(VideoReader(cut(whole, 0.7), end=0.2))) == 5


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_an_mp4_without_its_index_cannot_be_read(tmp_path, share):
    path = tmp_path / "video.mov"
    encode(path, [busy(n) for n in range(20)], codec="libx264")
    with pytest.raises(VideoError, match=r"not a video that can be read|holds only data, no video"):
        VideoReader(cut(path, share))


def test_a_sound_track_does_not_hide_that_the_picture_is_cut(tmp_path):
    path = tmp_path / "loud.mp4"
    write_h264(path, [busy(n) for n in range(100)], audio=True)
    assert len(list(VideoReader(path))) == 100
    with pytest.raises(TruncatedVideoError):
        list(VideoReader(cut(path, 0.5)))


def test_broken_packets_are_refused_or_noted(tmp_path):
    path = tmp_path / "video.mov"
    encode(path, [busy(n) for n in range(30)], codec="png", pixel_format="rgb24")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(TruncatedVideoError, match="truncated or damaged"):
        list(VideoReader(path))
    reader = VideoReader(path, allow_truncated=True)
    assert len(list(reader)) >= 25
    assert reader.damage


def test_a_video_whose_header_is_all_that_is_left(tmp_path, video):
    data = video.read_bytes()
    path = tmp_path / "header.mp4"
    path.write_bytes(data[: data.find(b"mdat") + 8])
    for allow in (False, True):
        with pytest.raises(VideoError, match=r"header.mp4: not one frame can be decoded"):
            VideoReader(path, allow_truncated=allow)


def test_damage_inside_a_range_is_said_though_the_range_ends_early(tmp_path):
    path = tmp_path / "video.mov"
    encode(path, [busy(n) for n in range(60)], codec="png", pixel_format="rgb24")
    data = bytearray(path.read_bytes())
    place = len(data) // 4
    data[place : place + 400] = bytes(400)
    path.write_bytes(data)
    reader = VideoReader(path, end=1.6, allow_truncated=True)
    assert len(list(reader)) < 40
    assert reader.damage
    with pytest.raises(TruncatedVideoError):
        list(VideoReader(path, end=1.6))


@pytest.mark.parametrize("frames", [95, 100, 105], ids=["shorter", "equal", "longer"])
def test_windows_media_with_sound_is_whole(tmp_path, frames):
    """Its streams declare the length of the file, not their own."""
    path = tmp_path / "sound.wmv"
    with av.open(str(path), "w", format="asf") as container:
        picture = container.add_stream("wmv2", rate=25)
        sound = container.add_stream("wmav2", rate=44100, layout="stereo")
        sound.bit_rate = 128_000
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        heard = 0
        for n in range(105):
            if n < frames:
                container.mux(picture.encode(av.VideoFrame.from_ndarray(busy(n), format="rgb24")))
            while heard < min(4 * 44100, n * 44100 / 25):
                frame = av.AudioFrame.from_ndarray(np.zeros((2, 2048), np.float32), format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44100, heard
                container.mux(sound.encode(frame))
                heard += 2048
        container.mux(picture.encode())
        container.mux(sound.encode())
    assert sum(1 for _ in VideoReader(path).frames()) == frames


@pytest.mark.parametrize("decoders", [1, 2])
def test_subtitles_may_outlast_the_picture(tmp_path, decoders):
    encode(tmp_path / "plain.mp4", [busy(n) for n in range(50)], codec="libx264", options={"g": "10"})
    (tmp_path / "words.srt").write_text("1\n00:00:01,000 --> 00:00:06,000\nhello\n\n")
    path = _with_subtitles(tmp_path / "plain.mp4", tmp_path / "words.srt")
    assert sum(1 for _ in VideoReader(path, decoders=decoders).frames()) == 50


def _with_subtitles(video: Path, words: Path) -> Path:
    path = video.with_name("subtitled.mkv")
    with av.open(str(video)) as a, av.open(str(words)) as b, av.open(str(path), "w") as made:
        picture = made.add_stream_from_template(a.streams.video[0])
        text = made.add_stream_from_template(b.streams.subtitles[0])
        packets = [(packet, picture) for packet in a.demux(video=0)] + [(packet, text) for packet in b.demux()]
        packets = [(packet, stream) for packet, stream in packets if packet.dts is not None]
        for packet, stream in sorted(packets, key=lambda p: p[0].dts * p[0].time_base):
            packet.stream = stream
            made.mux(packet)
    return path


@pytest.mark.parametrize("dropped", [(), (10,), (10, 11, 12)])
def test_an_avi_may_drop_frames_but_not_its_end(tmp_path, dropped):
    path = tmp_path / "dropped.avi"
    ticks = [n for n in range(50) if n not in dropped]
    encode(path, [busy(n) for n in ticks], codec="mpeg4", ticks=ticks, time_base=Fraction(1, 25))
    assert sum(1 for _ in VideoReader(path).frames()) == len(ticks)
    with pytest.raises(VideoError):
        list(VideoReader(cut(path, 0.7)).frames())
