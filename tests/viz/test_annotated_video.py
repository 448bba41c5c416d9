from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.tracks import track_of
from helpers.videos import encode, write_h264

from res3d.structures import VideoTracks
from res3d.video import VideoReader

pytest.importorskip("supervision")

from res3d.viz import TrackPainter, annotate_video


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_an_annotated_video_has_the_frames_times_and_size_of_the_original(tmp_path, size):
    images = [np.full((*size, 3), 10 * n, np.uint8) for n in range(12)]
    ticks = [0, 40, 80, 200, 240, 280, 400, 440, 480, 520, 560, 1000]  # milliseconds
    encode(
        tmp_path / "a.mkv",
        images,
        codec="ffv1",
        ticks=ticks,
        time_base=Fraction(1, 1000),
        pixel_format="bgr0",
    )
    reader = VideoReader(tmp_path / "a.mkv")
    video = VideoTracks(tracks=(track_of(1, range(12), [[5, 5, 20, 20]] * 12),), num_frames=12)
    frame_counts, pictures = [], []
    annotate_video(
        reader,
        video.frames(),
        tmp_path / "b.mp4",
        painter=TrackPainter(),
        show=pictures.append,
        progress=frame_counts.append,
    )
    assert [picture.shape for picture in pictures] == [(*size, 3)] * 12
    assert sum(frame_counts) == 12
    written = VideoReader(tmp_path / "b.mp4")
    assert (written.info.height, written.info.width) == size
    assert [round(1000 * seconds) for _, seconds in written] == ticks


def test_times_of_a_part_of_a_video_start_at_0(tmp_path, video):
    reader = VideoReader(video, start=0.4, end=0.8)
    tracks = VideoTracks(tracks=(), num_frames=10)
    annotate_video(reader, tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    assert [seconds for _, seconds in VideoReader(tmp_path / "b.mp4")] == pytest.approx(0.04 * np.arange(10))


def test_a_resampled_video_has_the_constant_rate_of_its_reader(tmp_path, video):
    reader = VideoReader(video, fps=10.0)
    tracks = VideoTracks(tracks=(), num_frames=16)
    annotate_video(reader, tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    assert [seconds for _, seconds in VideoReader(tmp_path / "b.mp4")] == pytest.approx(0.1 * np.arange(16))


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (39, "tracks must have an entry for every frame of .*video.mp4: 39 are too few"),
        (41, "tracks must have 40 entries, one for every frame of .*video.mp4, not more"),
    ],
)
def test_tracks_with_another_number_of_frames_are_refused_and_leave_no_file(tmp_path, video, count, message):
    tracks = VideoTracks(tracks=(), num_frames=count)
    with pytest.raises(ValueError, match=message):
        annotate_video(VideoReader(video), tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]


def test_ctrl_c_leaves_the_frames_written_so_far_in_a_partial_file(tmp_path, video):
    def interrupt(_):
        raise KeyboardInterrupt

    tracks = VideoTracks(tracks=(), num_frames=40)
    with pytest.raises(KeyboardInterrupt):
        annotate_video(
            VideoReader(video), tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter(), progress=interrupt
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.partial.mp4", "video.mp4"]


def test_an_annotated_video_has_no_sound(tmp_path):
    write_h264(tmp_path / "a.mp4", [np.full((90, 120, 3), 90, np.uint8)] * 5, audio=True)
    tracks = VideoTracks(tracks=(), num_frames=5)
    annotate_video(VideoReader(tmp_path / "a.mp4"), tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
