"""Truncated and damaged files: an error by default; with ``allow_truncated``, the frames that can be decoded."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import cut, encode, gray_with_bar, write_h264

from res3d.video import TruncatedVideoError, VideoError, VideoReader


def noisy_image(n: int) -> np.ndarray:
    noise = np.random.default_rng(n).integers(0, 60, (48, 64, 3))
    return np.clip(gray_with_bar(n) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=[".mp4", ".mkv", ".webm", ".avi"])
def complete_video(request, tmp_path_factory):
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(request.param, "libx264")
    path = tmp_path_factory.mktemp("complete") / f"video{request.param}"
    fast = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
    encode(path, [noisy_image(n) for n in range(100)], codec=codec, options={"g": "10", **fast})
    return path


@pytest.mark.parametrize("share", [0.4, 0.7, 0.85])
def test_truncated_file_is_refused(complete_video, share):
    path = cut(complete_video, share)
    with pytest.raises(TruncatedVideoError, match=rf"{path.name}: truncated or damaged: "):
        list(VideoReader(path))


def test_allow_truncated_reads_a_truncated_file_and_sets_damage(complete_video):
    assert len(list(VideoReader(complete_video))) == 100
    reader = VideoReader(cut(complete_video, 0.7), allow_truncated=True)
    frames = list(reader)
    assert 20 <= len(frames) < 100
    assert reader.damage
    assert [seconds for _, seconds in frames] == pytest.approx([n / 25 for n in range(len(frames))], abs=0.002)


def test_range_before_the_damage_raises_no_error(complete_video):
    assert len(list(VideoReader(cut(complete_video, 0.7), end=0.2))) == 5


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_mp4_without_its_index_is_refused(tmp_path, share):
    path = tmp_path / "video.mov"
    encode(path, [noisy_image(n) for n in range(20)], codec="libx264")
    with pytest.raises(VideoError, match=r"cannot be read as a video|holds only data, no video"):
        VideoReader(cut(path, share))


def test_audio_track_does_not_hide_a_truncated_video_stream(tmp_path):
    path = tmp_path / "loud.mp4"
    write_h264(path, [noisy_image(n) for n in range(100)], audio=True)
    assert len(list(VideoReader(path))) == 100
    with pytest.raises(TruncatedVideoError):
        list(VideoReader(cut(path, 0.5)))


def test_damaged_packets_are_refused_or_recorded(tmp_path):
    path = tmp_path / "video.mov"
    encode(path, [noisy_image(n) for n in range(30)], codec="png", pixel_format="rgb24")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(TruncatedVideoError, match="truncated or damaged"):
        list(VideoReader(path))
    reader = VideoReader(path, allow_truncated=True)
    assert len(list(reader)) >= 25
    assert reader.damage


def test_video_with_only_a_header_is_refused(tmp_path, video):
    data = video.read_bytes()
    path = tmp_path / "header.mp4"
    path.write_bytes(data[: data.find(b"mdat") + 8])
    for allow in (False, True):
        with pytest.raises(VideoError, match=r"header.mp4: no frame can be decoded"):
            VideoReader(path, allow_truncated=allow)


def test_damage_inside_a_range_is_recorded(tmp_path):
    path = tmp_path / "video.mov"
    encode(path, [noisy_image(n) for n in range(60)], codec="png", pixel_format="rgb24")
    data = bytearray(path.read_bytes())
    offset = len(data) // 4
    data[offset : offset + 400] = bytes(400)
    path.write_bytes(data)
    reader = VideoReader(path, end=1.6, allow_truncated=True)
    assert len(list(reader)) < 40
    assert reader.damage
    with pytest.raises(TruncatedVideoError):
        list(VideoReader(path, end=1.6))


@pytest.mark.parametrize("frames", [95, 100, 105], ids=["shorter", "equal", "longer"])
def test_windows_media_with_audio_is_complete(tmp_path, frames):
    """The streams of ASF files declare the duration of the file, not their own."""
    path = tmp_path / "sound.wmv"
    with av.open(str(path), "w", format="asf") as container:
        picture = container.add_stream("wmv2", rate=25)
        sound = container.add_stream("wmav2", rate=44100, layout="stereo")
        sound.bit_rate = 128_000
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        num_samples = 0
        for n in range(105):
            if n < frames:
                container.mux(picture.encode(av.VideoFrame.from_ndarray(noisy_image(n), format="rgb24")))
            while num_samples < min(4 * 44100, n * 44100 / 25):
                frame = av.AudioFrame.from_ndarray(np.zeros((2, 2048), np.float32), format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44100, num_samples
                container.mux(sound.encode(frame))
                num_samples += 2048
        container.mux(picture.encode())
        container.mux(sound.encode())
    assert sum(1 for _ in VideoReader(path).frames()) == frames


@pytest.mark.parametrize("decoders", [1, 2])
def test_subtitles_may_be_longer_than_the_video(tmp_path, decoders):
    encode(tmp_path / "plain.mp4", [noisy_image(n) for n in range(50)], codec="libx264", options={"g": "10"})
    (tmp_path / "words.srt").write_text("1\n00:00:01,000 --> 00:00:06,000\nhello\n\n")
    path = _with_subtitles(tmp_path / "plain.mp4", tmp_path / "words.srt")
    assert sum(1 for _ in VideoReader(path, decoders=decoders).frames()) == 50


def _with_subtitles(video: Path, subtitles: Path) -> Path:
    path = video.with_name("subtitled.mkv")
    with av.open(str(video)) as a, av.open(str(subtitles)) as b, av.open(str(path), "w") as output:
        picture = output.add_stream_from_template(a.streams.video[0])
        text = output.add_stream_from_template(b.streams.subtitles[0])
        packets = [(packet, picture) for packet in a.demux(video=0)] + [(packet, text) for packet in b.demux()]
        packets = [(packet, stream) for packet, stream in packets if packet.dts is not None]
        for packet, stream in sorted(packets, key=lambda p: p[0].dts * p[0].time_base):
            packet.stream = stream
            output.mux(packet)
    return path


@pytest.mark.parametrize("dropped", [(), (10,), (10, 11, 12)])
def test_avi_with_dropped_frames_is_complete(tmp_path, dropped):
    path = tmp_path / "dropped.avi"
    ticks = [n for n in range(50) if n not in dropped]
    encode(path, [noisy_image(n) for n in ticks], codec="mpeg4", ticks=ticks, time_base=Fraction(1, 25))
    assert sum(1 for _ in VideoReader(path).frames()) == len(ticks)
    with pytest.raises(VideoError):
        list(VideoReader(cut(path, 0.7)).frames())


def last_packet(path: Path) -> tuple[int, int]:
    """Return position and size of the last video packet of the file."""
    with av.open(str(path)) as container:
        return max((p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size)


@pytest.mark.parametrize("decoders", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "libx264"), (".mp4", "libx265"), (".mp4", "mpeg4"), (".mov", "libx264"), (".mov", "prores_ks")],
)
def test_frames_lost_with_the_last_packet_are_damage(tmp_path, suffix, codec, decoders):
    """A decoder with frame threads drops the error of the last packet, and frames with it."""
    path = tmp_path / f"video{suffix}"
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"g": "10"}
    encode(path, [noisy_image(n) for n in range(60)], codec=codec, pixel_format=pixel_format, options=options)
    assert len(list(VideoReader(path, decoders=decoders, threads=2))) == 60
    position, size = last_packet(path)
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(TruncatedVideoError, match=r"frames cannot be decoded|packet 60 cannot be decoded \("):
        list(VideoReader(path, decoders=decoders, threads=2))
    reader = VideoReader(path, decoders=decoders, threads=2, allow_truncated=True)
    assert 40 <= len(list(reader)) < 60
    assert reader.damage


@pytest.mark.parametrize("decoders", [1, 2])
@pytest.mark.parametrize("suffix", [".mkv", ".flv"])
def test_bytes_that_the_demuxer_skips_are_damage(tmp_path, suffix, decoders):
    """FFmpeg reads on from the next intact position without an error."""
    path = tmp_path / f"video{suffix}"
    encode(path, [noisy_image(n) for n in range(60)], codec="libx264", options={"g": "5", "bf": "0"})
    with av.open(str(path)) as container:
        positions = [p.pos for p in container.demux(container.streams.video[0]) if p.size]
    data = bytearray(path.read_bytes())
    data[positions[20] - 20 : positions[24]] = bytes(positions[24] - positions[20] + 20)
    path.write_bytes(data)
    with pytest.raises(TruncatedVideoError):
        list(VideoReader(path, decoders=decoders))


@pytest.mark.parametrize("decoders", [1, 2])
def test_variable_frame_rate_is_no_damage(tmp_path, decoders):
    path = tmp_path / "variable.mkv"
    ticks = np.cumsum(np.random.default_rng(0).choice([1, 1, 2, 5], 60)).tolist()
    encode(
        path, [noisy_image(n) for n in range(60)], codec="libx264", options={"g": "5"}, ticks=ticks,
        time_base=Fraction(1, 25),
    )  # fmt: skip
    reader = VideoReader(path, decoders=decoders)
    assert len(list(reader)) == 60
    assert reader.notes == ()


def test_one_gap_of_a_constant_frame_rate_is_noted(tmp_path):
    path = tmp_path / "gap.mkv"
    ticks = [n if n < 30 else n + 4 for n in range(60)]
    encode(path, [noisy_image(n) for n in range(60)], codec="libx264", ticks=ticks, time_base=Fraction(1, 25))
    for decoders in (1, 2):
        reader = VideoReader(path, decoders=decoders)
        assert len(list(reader)) == 60
        assert reader.notes == ("the times of frames have gaps of 4 frames",)


def test_frames_that_an_edit_list_leaves_out_are_noted(tmp_path):
    path = tmp_path / "edited.mp4"
    write_h264(path, [noisy_image(n) for n in range(60)])
    data = bytearray(path.read_bytes())
    duration = data.index(b"elst") + 12
    data[duration : duration + 4] = (int.from_bytes(data[duration : duration + 4], "big") // 2).to_bytes(4, "big")
    path.write_bytes(data)
    for decoders in (1, 2):
        reader = VideoReader(path, decoders=decoders)
        assert len(list(reader)) < 60
        assert len(reader.notes) == 1
        assert "of 60 frames" in reader.notes[0]


def test_joined_transport_streams_are_no_damage(tmp_path):
    """Continuity counters start anew at the joint; times go on."""
    parts = []
    for part in range(2):
        path = tmp_path / f"{part}.ts"
        ticks = [n + 30 * part for n in range(30)]
        encode(
            path, [noisy_image(n) for n in ticks], codec="libx264", options={"g": "10", "bf": "0"}, ticks=ticks,
            time_base=Fraction(1, 25),
        )  # fmt: skip
        parts.append(path.read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    assert len(list(VideoReader(joined))) >= 58


@pytest.mark.slow
def test_damaged_flv_that_adds_a_stream_is_refused(tmp_path):
    """PyAV raises IndexError for a stream that appears while packets are read."""
    path = tmp_path / "video.flv"
    encode(path, [noisy_image(n) for n in range(60)], codec="libx264", options={"g": "5"}, audio=True)
    whole = path.read_bytes()
    kinds = set()
    for position in range(len(whole) // 3, 2 * len(whole) // 3, 97):
        path.write_bytes(whole[:position] + b"\xff" * 188 + whole[position + 188 :])
        try:
            list(VideoReader(path))
        except VideoError as error:
            kinds.add(type(error))
    assert kinds == {TruncatedVideoError} or kinds == {TruncatedVideoError, VideoError}
