import sys

import numpy as np
import pytest
from helpers.tracks import FLY

from res3d.structures import FrameTracks, Rle

pytest.importorskip("supervision")

from res3d.viz import TrackPainter
from res3d.viz.colors import color_of

GRAY = np.full((90, 120, 3), 90, np.uint8)


def frame_of(*ids: int, number: int = 0, score: float = 0.9, x: float = 30, **more) -> FrameTracks:
    """Objects with the same box of 20 × 20 pixels, from (x, 40) on."""
    n = len(ids)
    return FrameTracks(
        frame=number,
        ids=np.array(ids, np.int64),
        labels=np.ones(n, np.int64),
        boxes=np.array([[x, 40, x + 20, 60]] * n, np.float32).reshape(-1, 4),
        scores=np.full(n, score, np.float32),
        **more,
    )


def changed_pixels(picture: np.ndarray) -> np.ndarray:
    """Mask [H, W] of the pixels that differ from ``GRAY``."""
    return (picture != GRAY).any(axis=2)


def test_a_box_has_the_color_of_its_id_in_every_frame():
    painter = TrackPainter()
    for number, identity in enumerate((1, 2, 500, 1)):
        picture = painter.draw(GRAY, frame_of(identity, number=number), seconds=0.0)
        assert picture[60, 35].tolist() == list(color_of(identity))
    assert (GRAY == 90).all()


@pytest.mark.parametrize("masks", [None, ()])
def test_only_the_time_is_drawn_on_a_frame_without_objects(masks):
    picture = TrackPainter().draw(GRAY, frame_of(masks=masks), seconds=1.5)
    ys, xs = np.nonzero(changed_pixels(picture))
    assert ys.min() > 60
    assert xs.max() < 119


def test_boxes_of_filled_gaps_are_drawn_thin():
    large = np.full((900, 1200, 3), 90, np.uint8)
    pictures = [TrackPainter(trail_frames=0).draw(large, frame_of(1, score=score), 0.0) for score in (0.9, 0.0)]
    widths = [(picture[50, 20:45] == color_of(1)).all(axis=1).sum() for picture in pictures]
    assert widths[0] > widths[1] == 1


def test_trails_have_the_centers_of_the_last_frames():
    painter = TrackPainter(trail_frames=5)
    for number, x in enumerate(range(20, 90, 10)):
        picture = painter.draw(GRAY, frame_of(1, number=number, x=x), 0.0)
    is_trail = (picture[50, :78] == color_of(1)).all(axis=1)
    assert is_trail[52:75].all()
    assert not is_trail[:45].any()
    assert not (TrackPainter(trail_frames=0).draw(GRAY, frame_of(1, x=80), 0.0)[50, :78] != 90).any()


def test_masks_tint_only_their_pixels():
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
    assert not changed_pixels(picture)[76:80, 100:118].any()


def test_labelled_keypoints_are_drawn_and_joined_as_in_the_skeleton():
    keypoints = np.array([[[10, 80, 1], [100, 80, 1], [100, 10, 0]]], np.float32)
    frame = frame_of(2, keypoints=keypoints)
    with_skeleton = TrackPainter(categories={1: FLY}).draw(GRAY, frame, 0.0)
    without_skeleton = TrackPainter().draw(GRAY, frame, 0.0)
    assert with_skeleton[80, 100].tolist() == without_skeleton[80, 100].tolist() == list(color_of(2))
    assert changed_pixels(with_skeleton)[80, 95].all()
    assert not changed_pixels(without_skeleton)[80, 95].any()
    assert not changed_pixels(with_skeleton)[5:15, 95:105].any()


def test_objects_have_the_names_of_their_categories_or_the_numbers_of_their_classes():
    frame = frame_of(2, 7)
    assert TrackPainter(categories={1: FLY})._names(frame) == ["fly 2", "fly 7"]
    assert TrackPainter()._names(frame) == ["1 2", "1 7"]


def test_error_names_the_missing_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="drawing needs supervision, OpenCV and the system library libGL"):
        TrackPainter()
