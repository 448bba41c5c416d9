import re
import sys
from fractions import Fraction

import numpy as np
import pytest
from helpers.tracks import FLY, track_of
from helpers.videos import encode, write_h264
from PIL import Image

from res3d.structures import FrameTracks, Rle, VideoTracks
from res3d.video import VideoReader

pytest.importorskip("supervision")

from res3d.viz import SpreadPictures, TrackPainter, annotate_video, write_contact_sheet
from res3d.viz.colors import color_of, text_color_on

GRAY = np.full((90, 120, 3), 90, np.uint8)


def frame_of(*ids: int, number: int = 0, score: float = 0.9, x: float = 30, **more) -> FrameTracks:
    n = len(ids)
    return FrameTracks(
        frame=number,
        ids=np.array(ids, np.int64),
        labels=np.ones(n, np.int64),
        boxes=np.array([[x, 40, x + 20, 60]] * n, np.float32).reshape(-1, 4),
        scores=np.full(n, score, np.float32),
        **more,
    )


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != GRAY).any(axis=2)


def has_color(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=-1).any())


def test_a_box_has_the_color_of_its_id_in_every_frame():
    painter = TrackPainter()
    for number, identity in enumerate((1, 2, 500, 1)):
        picture = painter.draw(GRAY, frame_of(identity, number=number), seconds=0.0)
        assert picture[60, 35].tolist() == list(color_of(identity))
    assert (GRAY == 90).all()


def test_neighboring_ids_have_colors_far_apart_and_readable_names():
    colors = np.array([color_of(identity) for identity in range(40)], int)
    assert np.abs(np.diff(colors, axis=0)).max(axis=1).min() > 60
    assert len(np.unique(colors, axis=0)) == 40
    assert {text_color_on(tuple(color)) for color in colors} == {(0, 0, 0), (255, 255, 255)}


@pytest.mark.parametrize("masks", [None, ()])
def test_a_frame_without_objects_has_the_time_only(masks):
    picture = TrackPainter().draw(GRAY, frame_of(masks=masks), seconds=1.5)
    ys, xs = np.nonzero(changed(picture))
    assert ys.min() > 60
    assert xs.max() < 119


def test_filled_gaps_are_drawn_thin():
    large = np.full((900, 1200, 3), 90, np.uint8)
    drawn = [TrackPainter(trail_frames=0).draw(large, frame_of(1, score=score), 0.0) for score in (0.9, 0.0)]
    widths = [(picture[50, 20:45] == color_of(1)).all(axis=1).sum() for picture in drawn]
    assert widths[0] > widths[1] == 1


def test_trails_follow_and_end():
    painter = TrackPainter(trail_frames=5)
    for number, x in enumerate(range(20, 90, 10)):
        picture = painter.draw(GRAY, frame_of(1, number=number, x=x), 0.0)
    trail = (picture[50, :78] == color_of(1)).all(axis=1)
    assert trail[52:75].all()
    assert not trail[:45].any()
    assert not (TrackPainter(trail_frames=0).draw(GRAY, frame_of(1, x=80), 0.0)[50, :78] != 90).any()


def test_masks_tint_their_pixels_only():
    mask = np.zeros((90, 120), bool)
    mask[70:75, 100:110] = True
    frame = FrameTracks(
        frame=0,
        ids=np.array([3, 4]),
        labels=np.ones(2, np.int64),
        boxes=np.array([[5, 30, 15, 40], [30, 40, 50, 60]], np.float32),
        scores=np.ones(2, np.float32),
        masks=(None, Rle.encode(mask)),
    )
    picture = TrackPainter().draw(GRAY, frame, 0.0)
    tint = 0.6 * 90 + 0.4 * np.array(color_of(4))
    assert np.abs(picture[72, 105] - tint).max() <= 1
    assert not changed(picture)[76:80, 100:118].any()


def test_poses_are_drawn_with_their_skeleton_but_for_unknown_points():
    points = np.array([[[10, 80, 1], [100, 80, 1], [100, 10, 0]]], np.float32)
    frame = frame_of(2, keypoints=points)
    with_edges = TrackPainter(categories={1: FLY}).draw(GRAY, frame, 0.0)
    without = TrackPainter().draw(GRAY, frame, 0.0)
    assert with_edges[80, 100].tolist() == without[80, 100].tolist() == list(color_of(2))
    assert changed(with_edges)[80, 95].all()
    assert not changed(without)[80, 95].any()
    assert not changed(with_edges)[5:15, 95:105].any()


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
    told, shown = [], []
    annotate_video(
        reader,
        video.frames(),
        tmp_path / "b.mp4",
        painter=TrackPainter(),
        show=shown.append,
        progress=told.append,
    )
    assert [picture.shape for picture in shown] == [(*size, 3)] * 12
    assert sum(told) == 12
    written = VideoReader(tmp_path / "b.mp4")
    assert (written.info.height, written.info.width) == size
    assert [round(1000 * seconds) for _, seconds in written] == ticks


def test_a_part_of_a_video_begins_at_zero(tmp_path, video):
    reader = VideoReader(video, start=0.4, end=0.8)
    tracks = VideoTracks(tracks=(), num_frames=10)
    annotate_video(reader, tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    assert [seconds for _, seconds in VideoReader(tmp_path / "b.mp4")] == pytest.approx(0.04 * np.arange(10))
    slow = VideoReader(video, fps=10.0)
    annotate_video(slow, VideoTracks(tracks=(), num_frames=16).frames(), tmp_path / "c.mp4", painter=TrackPainter())
    assert [seconds for _, seconds in VideoReader(tmp_path / "c.mp4")] == pytest.approx(0.1 * np.arange(16))


@pytest.mark.parametrize(
    ("count", "message"),
    [(39, "there are tracks for 39 frames, and more"), (41, "has 40 frames, and there are tracks for")],
)
def test_tracks_of_another_video_are_refused_and_nothing_is_left(tmp_path, video, count, message):
    tracks = VideoTracks(tracks=(), num_frames=count)
    with pytest.raises(ValueError, match=message):
        annotate_video(VideoReader(video), tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]


def test_what_was_drawn_before_ctrl_c_is_kept_under_another_name(tmp_path, video):
    def stop(_):
        raise KeyboardInterrupt

    tracks = VideoTracks(tracks=(), num_frames=40)
    with pytest.raises(KeyboardInterrupt):
        annotate_video(VideoReader(video), tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter(), progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.partial.mp4", "video.mp4"]


def test_a_contact_sheet_has_its_pictures_in_rows(tmp_path):
    pictures = [np.full((30, 40, 3), 10 + 50 * n, np.uint8) for n in range(4)]
    write_contact_sheet(pictures, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (64, 128, 3)
    assert [sheet[15, 20, 0], sheet[15, 64, 0], sheet[15, 108, 0], sheet[50, 20, 0]] == [10, 60, 110, 160]
    assert sheet[50, 64].tolist() == [255, 255, 255]
    write_contact_sheet(pictures, tmp_path / "sheet.png", columns=2, max_width=42)
    with Image.open(tmp_path / "sheet.png") as opened:
        assert opened.size == (42, 32)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_what_makes_no_sheet_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a contact sheet takes pictures of one size, not none"):
        write_contact_sheet([], tmp_path / "a.png")
    with pytest.raises(ValueError, match=re.escape("pictures of one size, not [(3, 3, 3), (3, 4, 3)]")):
        write_contact_sheet([np.zeros((3, 3, 3), np.uint8), np.zeros((3, 4, 3), np.uint8)], tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_contact_sheet([np.zeros((3, 3, 3), np.uint8)], tmp_path / "folder.png")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("total", [0, 1, 2, 3, 9, 10, 18, 19, 20, 37, 100, 1000])
def test_pictures_are_spread_over_a_video_of_unknown_length(total, count):
    spread = SpreadPictures(count)
    for n in range(total):
        spread.add(np.full((1, 1, 3), n))
        assert len(spread._held) <= 2 * count
    chosen = [int(picture[0, 0, 0]) for picture in spread.pictures]
    assert len(chosen) == min(total, count)
    assert chosen == sorted(set(chosen))
    assert chosen[:1] == [0][:total]
    if min(total, count) > 1:
        assert chosen[-1] == total - 1
        assert np.abs(np.array(chosen) - np.linspace(0, total - 1, len(chosen))).max() <= total / count


def test_a_sheet_without_pictures_is_refused():
    with pytest.raises(ValueError, match="a contact sheet shows ≥ 1 picture, not 0"):
        SpreadPictures(0)


def test_a_missing_supervision_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="drawing needs supervision and OpenCV, and these the system's libGL"):
        TrackPainter()


def test_sound_is_left_out(tmp_path):
    import av

    write_h264(tmp_path / "a.mp4", [GRAY] * 5, audio=True)
    tracks = VideoTracks(tracks=(), num_frames=5)
    annotate_video(VideoReader(tmp_path / "a.mp4"), tracks.frames(), tmp_path / "b.mp4", painter=TrackPainter())
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
