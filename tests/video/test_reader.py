import gc
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from helpers.videos import decode_with_pyav, encode, gray_with_bar, write_h264, write_sound

from res3d.threads import decoder_threads
from res3d.video import VideoError, VideoReader
from res3d.video.container import FrameDecoder

IMAGES = [gray_with_bar(n) for n in range(24)]


def brightness(image: np.ndarray) -> float:
    """Return the mean brightness of the lower half, where no bar is."""
    return float(image[image.shape[0] // 2 :].mean())


def test_frames_and_times_equal_those_of_pyav(video):
    expected = decode_with_pyav(video)
    frames = list(VideoReader(video))
    assert len(frames) == len(expected) == 40
    for (image, seconds), (their_seconds, their_image) in zip(frames, expected, strict=True):
        assert image.dtype == np.uint8
        assert np.array_equal(image, their_image)
        assert seconds == pytest.approx(their_seconds, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "pedestrians.avi", "street.mp4"])
def test_real_videos_equal_those_of_pyav(real_videos, name):
    count = 0
    with av.open(str(real_videos / name)) as container:
        stream = container.streams.video[0]
        frames = VideoReader(real_videos / name).frames()
        for expected, frame in zip(container.decode(stream), frames, strict=True):
            assert frame.seconds == pytest.approx(float(expected.pts * expected.time_base), abs=1e-9)
            if count % 50 == 0:
                assert np.array_equal(frame.rgb(), expected.to_ndarray(format="rgb24"))
            count += 1
    assert count == VideoReader(real_videos / name).num_frames


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        (".mp4", "libx264", "yuv420p"),
        (".mp4", "libx264", "yuvj420p"),
        (".mp4", "libx264", "yuv422p"),
        (".mp4", "libx264", "yuv444p"),
        (".mp4", "libx264", "yuv420p10le"),
        (".mp4", "libx264", "gray"),
        (".mp4", "libx265", "yuv420p10le"),
        (".mkv", "ffv1", "bgr0"),
        (".mkv", "ffv1", "gray16le"),
        (".webm", "libvpx-vp9", "yuv420p"),
        (".avi", "mpeg4", "yuv420p"),
        (".mov", "mjpeg", "yuvj422p"),
        (".ts", "libx264", "yuv420p"),
        (".gif", "gif", "rgb8"),
    ],
)
def test_every_container_and_pixel_format_equals_pyav(tmp_path, suffix, codec, pixel_format):
    path = tmp_path / f"video{suffix}"
    encode(path, IMAGES, codec=codec, pixel_format=pixel_format)
    frames = list(VideoReader(path))
    expected = decode_with_pyav(path)
    assert len(frames) == len(expected) == 24
    for n, ((image, seconds), (their_seconds, their_image)) in enumerate(zip(frames, expected, strict=True)):
        assert np.array_equal(image, their_image)
        assert seconds == pytest.approx(their_seconds, abs=1e-6) == pytest.approx(n / 25, abs=0.006)
        if suffix != ".gif" and pixel_format != "gray":  # FFmpeg loses the color range of these
            assert brightness(image) == pytest.approx(6 * n, abs=8)


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (48, 31)])
def test_odd_sizes_are_read(tmp_path, size):
    path = tmp_path / "odd.mkv"
    encode(path, [np.full((*size, 3), 20 * n, np.uint8) for n in range(5)], codec="ffv1", pixel_format="bgr0")
    assert [image.shape for image, _ in VideoReader(path)] == [(*size, 3)] * 5
    info = VideoReader(path).info
    assert (info.height, info.width) == size


def test_full_color_range_is_converted(tmp_path):
    path = tmp_path / "full.mp4"
    ramp = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    encode(
        path,
        [ramp] * 3,
        codec="libx264",
        pixel_format="yuvj420p",
        options={"qp": "1"},
        color={"color_range": ColorRange.JPEG},
    )
    image, _ = next(iter(VideoReader(path)))
    assert np.abs(image.astype(int) - ramp).max() <= 4


def test_times_of_variable_frame_rates(tmp_path):
    ticks = [100, 110, 150, 151, 400, 1000]
    path = tmp_path / "variable.mkv"
    encode(path, IMAGES[:6], codec="libx264", ticks=ticks, time_base=Fraction(1, 1000))
    frames = list(VideoReader(path).frames())
    assert [f.seconds for f in frames] == pytest.approx([0, 0.01, 0.05, 0.051, 0.3, 0.9])
    assert [float(f.duration) for f in frames[:-1]] == pytest.approx([0.01, 0.04, 0.001, 0.249, 0.6])
    assert [f.index for f in frames] == list(range(6))


def test_frames_stored_out_of_order_are_sorted_by_timestamp(tmp_path):
    """Motion JPEG frames are decoded in the file's order; their timestamps define the presentation order."""
    order = [0, 2, 1, 4, 3, 6, 5, 7]
    path = tmp_path / "shuffled.mkv"
    encode(path, [IMAGES[n] for n in order], codec="mjpeg", pixel_format="yuvj420p")
    shuffled = tmp_path / "out_of_order.mkv"
    with av.open(str(path)) as source, av.open(str(shuffled), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for position, (n, packet) in enumerate(zip(order, source.demux(source.streams.video[0]), strict=False)):
            packet.pts, packet.dts, packet.stream = 40 * n + 80, 40 * position, stream
            packet.time_base = Fraction(1, 1000)
            target.mux(packet)
    stored = [seconds for seconds, _ in decode_with_pyav(shuffled)]
    assert stored != sorted(stored), "the file is in order, so that this test is void"
    frames = list(VideoReader(shuffled))
    assert [seconds for _, seconds in frames] == pytest.approx([n / 25 for n in range(8)])
    assert [brightness(image) for image, _ in frames] == pytest.approx([6 * n for n in range(8)], abs=4)


def test_avi_with_b_frames_gets_increasing_times_and_keeps_the_decoder_order(tmp_path):
    """AVI has no presentation times. FFmpeg's guesses are not in order, but the decoder's order is right."""
    path = tmp_path / "b_frames.avi"
    noise = np.random.default_rng(0)
    images = [gray_with_bar(n) for n in range(40)]
    for image in images:
        image[: noise.integers(1, 24)] = noise.integers(0, 255, 3)
    encode(path, images, codec="libx264", options={"bf": "2", "b-pyramid": "none"})
    guesses = [seconds for seconds, _ in decode_with_pyav(path)]
    assert guesses != sorted(guesses), "FFmpeg guessed right, so that this test is void"
    frames = list(VideoReader(path))
    seconds = [seconds for _, seconds in frames]
    assert seconds == sorted(set(seconds))
    levels = [brightness(image) for image, _ in frames]
    assert levels == sorted(levels)
    assert len(levels) == 40


def test_duplicate_timestamps_get_increasing_times(tmp_path):
    path = tmp_path / "twice.mkv"
    encode(path, IMAGES[:7], codec="mjpeg", pixel_format="yuvj420p")
    doubled = tmp_path / "doubled.mkv"
    with av.open(str(path)) as source, av.open(str(doubled), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for pts, packet in zip([0, 40, 80, 80, 80, 120, 160], source.demux(source.streams.video[0]), strict=False):
            packet.pts, packet.dts, packet.stream, packet.time_base = pts, pts, stream, Fraction(1, 1000)
            target.mux(packet)
    assert [seconds for _, seconds in VideoReader(doubled)] == pytest.approx([0, 0.04, 0.08, 0.081, 0.082, 0.12, 0.16])


def test_times_of_a_stream_without_timestamps_follow_its_rate(tmp_path):
    path = tmp_path / "raw.h264"
    encode(path, IMAGES, codec="libx264", rate=10)
    assert [seconds for _, seconds in VideoReader(path)] == pytest.approx([n / 10 for n in range(24)])


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, None, range(40)),
        (0.4, 0.8, range(10, 20)),
        (0.41, 0.8, range(11, 20)),
        (0.4, 0.801, range(10, 21)),
        (1.55, None, [39]),
        (0.0, 0.001, [0]),
        (0.1 + 0.2 + 0.1, 0.7 + 0.1, range(10, 20)),  # 0.4 and 0.8 with rounding errors
    ],
)
def test_ranges_are_half_open(video, start, end, expected):
    reader = VideoReader(video, start=start, end=end)
    frames = list(reader.frames())
    assert [frame.index for frame in frames] == list(expected)
    assert [frame.seconds for frame in frames] == pytest.approx([n / 25 for n in expected])


@pytest.mark.parametrize("start", [0.0, 0.33])
@pytest.mark.parametrize("end", [None, 1.21, 0.4, 0.6, 0.7])
@pytest.mark.parametrize("fps", [1, 7.5, 24, 25, 29.97, 60])
def test_resampling_gives_the_last_frame_at_or_before_each_time(video, fps, start, end):
    times = np.arange(40) / 25
    targets = start + np.arange(1000) / fps
    targets = targets[targets < (1.6 if end is None else end) - 1e-9]
    expected = np.searchsorted(times, targets + 1e-9, side="right") - 1
    frames = list(VideoReader(video, fps=fps, start=start, end=end).frames())
    assert [frame.index for frame in frames] == expected.tolist()
    assert [frame.seconds for frame in frames] == pytest.approx(times[expected].tolist())


def test_times_of_frames_can_be_passed_as_start(tmp_path):
    path = tmp_path / "fine.mov"
    ticks = [round(n * 10_000_000 / 7) for n in range(24)]
    base = Fraction(1, 10_000_000)
    encode(path, IMAGES, codec="mjpeg", pixel_format="yuvj420p", rate=7, ticks=ticks, time_base=base)
    times = [seconds for _, seconds in VideoReader(path)]
    for n, seconds in enumerate(times[:-1]):
        assert next(VideoReader(path, start=seconds, fps=10).frames()).index == n
        assert next(VideoReader(path, start=seconds).frames()).index == n
    assert len(list(VideoReader(path, end=float("inf"), fps=7))) == 24


def test_resampling_ntsc_to_the_same_rate_keeps_all_frames(tmp_path):
    path = tmp_path / "ntsc.mp4"
    write_h264(path, IMAGES, rate=Fraction(30000, 1001))
    for fps in (30000 / 1001, 29.97):
        assert [f.index for f in VideoReader(path, fps=fps).frames()] == list(range(24))


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_rotation_is_applied(tmp_path, rotation, turns):
    """Both FFmpeg and NumPy rotate counter-clockwise."""
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:24, :16] = 255
    path = tmp_path / "turned.mp4"
    write_h264(path, [corner] * 3, rotation=rotation)
    reader = VideoReader(path)
    image, _ = next(iter(reader))
    expected = np.rot90(corner, turns)
    assert image.shape == expected.shape == (reader.info.height, reader.info.width, 3)
    assert np.abs(image.astype(int) - expected).mean() < 10


def test_mirroring_is_applied(tmp_path):
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:24, :16] = 255
    path = tmp_path / "mirrored.mp4"
    one = 1 << 16
    write_h264(path, [corner] * 3, display_matrix=[-one, 0, 0, 0, one, 0, 64 * one, 0, 1 << 30])
    image, _ = next(iter(VideoReader(path)))
    assert np.abs(image.astype(int) - corner[:, ::-1]).mean() < 10


def test_rotation_by_45_degrees_is_refused(tmp_path):
    path = tmp_path / "slanted.mp4"
    write_h264(path, IMAGES[:2], rotation=45)
    with pytest.raises(VideoError, match=r"slanted\.mp4: .* is not a combination of quarter turns and flips"):
        VideoReader(path)


def test_reader_can_be_iterated_again(video):
    reader = VideoReader(video, end=0.2)
    assert len(list(reader)) == len(list(reader)) == 5
    assert next(iter(reader))[1] == 0.0


def test_frames_are_freed_without_the_garbage_collector(tmp_path):
    """Frames in reference cycles would accumulate between collections: gigabytes for a long video."""
    path = tmp_path / "long.mp4"
    write_h264(path, [gray_with_bar(n) for n in range(120)], rotation=90)
    gc.freeze()  # get_objects then returns only objects of this test
    gc.disable()
    try:
        for n, _ in enumerate(VideoReader(path)):
            if n == 110:
                alive = sum(type(item) is av.VideoFrame for item in gc.get_objects())
    finally:
        gc.enable()
        gc.unfreeze()
    assert 0 < alive < 40


def test_audio_stream_is_ignored(tmp_path):
    path = tmp_path / "loud.mp4"
    write_h264(path, IMAGES, audio=True)
    assert len(list(VideoReader(path))) == 24


def test_info_has_the_metadata_of_the_file(video):
    info = VideoReader(video).info
    assert (info.width, info.height, info.fps, info.num_frames) == (64, 48, 25.0, 40)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert VideoReader(video, start=0.4, end=1.2, fps=10).num_frames == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1}, "start must be ≥ 0 seconds, not -1"),
        ({"start": float("nan")}, "start must be ≥ 0 seconds, not nan"),
        ({"start": 2, "end": 2}, r"end must be later than start \(2 s\), not 2"),
        ({"fps": 0}, "fps must be ≥ 1e-06, not 0"),
        ({"fps": 1e-9}, "fps must be ≥ 1e-06, not 1e-09"),
        ({"fps": float("inf")}, "fps must be ≥ 1e-06, not inf"),
    ],
)
def test_invalid_arguments_are_refused_before_the_file_is_opened(arguments, message):
    with pytest.raises(ValueError, match=message):
        VideoReader("nowhere.mp4", **arguments)


def test_range_without_frames_is_refused(video):
    with pytest.raises(VideoError, match=r"video.mp4: no frame from 9.0 s to the end"):
        list(VideoReader(video, start=9.0))
    with pytest.raises(VideoError, match=r"video.mp4: no frame from 0.041 s to 0.042 s"):
        list(VideoReader(video, start=0.041, end=0.042))


def test_files_that_are_no_videos_are_refused_by_name(tmp_path):
    def write(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return name

    sound = tmp_path / "sound.mp4"
    write_sound(sound)
    picture = tmp_path / "picture.png"
    encode(picture, IMAGES[:1], codec="png", pixel_format="rgb24")
    cases = {
        write("empty.mp4", b""): "the file is empty",
        write("random.mp4", np.random.default_rng(0).bytes(50_000)): "cannot be read as a video",
        write("words.txt", b"not a video\n" * 99): "holds text, no video",
        write("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"): "",
        "sound.mp4": "holds only audio, no video",
        "picture.png": "holds a still picture, no video",
        ".": "not a file",
    }
    for name, message in cases.items():
        with pytest.raises(VideoError) as caught:
            VideoReader(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)), name
        assert message in str(caught.value), name
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"nowhere.mp4: no such file"):
        VideoReader(tmp_path / "nowhere.mp4")


def test_names_that_look_like_protocols_are_opened_as_files(tmp_path, video, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "concat:a|b.mp4"
    odd.write_bytes(video.read_bytes())
    assert len(list(VideoReader("concat:a|b.mp4"))) == 40


def test_changing_frame_size_is_refused(tmp_path):
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    encode(small, IMAGES, codec="libx264")
    encode(large, [gray_with_bar(n, 96, 64) for n in range(24)], codec="libx264")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(
        VideoError, match=r"joined.ts: (the frame size changes from 64×48 to 96×64|timestamps jump back)"
    ):
        list(VideoReader(joined))


def test_timestamps_that_jump_back_are_refused(tmp_path):
    path = tmp_path / "twice.ts"
    encode(path, [gray_with_bar(n) for n in range(60)], codec="mpeg2video")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(path.read_bytes() * 2)
    with pytest.raises(VideoError, match=r"joined.ts: timestamps jump back"):
        list(VideoReader(joined))


def test_number_of_decoder_threads_does_not_change_frames(video, monkeypatch):
    counts = []
    decode = FrameDecoder._decode
    monkeypatch.setattr(
        FrameDecoder, "_decode", lambda self: counts.append(self._stream.codec_context.thread_count) or decode(self)
    )
    expected, one = list(VideoReader(video)), list(VideoReader(video, threads=1))
    assert counts == [decoder_threads(None), 1]
    assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(expected, one, strict=True))
    with pytest.raises(ValueError, match="threads must be a whole number ≥ 1, not 0"):
        VideoReader(video, threads=0)
