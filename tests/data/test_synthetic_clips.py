import numpy as np
import pytest
import torch

from res3d.data import HEADINGS, SyntheticClips
from res3d.data.synthetic_clips import _headings


def test_clip_depends_on_seed_and_number_only():
    a, b = SyntheticClips(seed=3)[7], SyntheticClips(seed=3)[7]
    assert torch.equal(a[0], b[0])
    assert all(torch.equal(a[1][name], b[1][name]) for name in a[1])
    assert not torch.equal(a[0], SyntheticClips(seed=4)[7][0])
    assert not torch.equal(a[0], SyntheticClips(seed=3)[8][0])


def test_shapes_and_dtypes():
    clips = SyntheticClips(num_clips=20, length=5, side=64, objects=(3, 3))
    clip, target = clips[0]
    assert (clip.shape, clip.dtype) == ((3, 5, 64, 64), torch.float32)
    assert 0 <= clip.min() < clip.max() <= 1
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in target.items()}
    assert shapes == {
        "boxes": ((3, 5, 4), torch.float32),
        "visible": ((3, 5), torch.bool),
        "labels": ((3,), torch.int64),
        "track_ids": ((3,), torch.int64),
        "masks": ((3, 5, 64, 64), torch.bool),
        "keypoints": ((3, 5, 5, 3), torch.float32),
    }
    clips = SyntheticClips(num_clips=20, length=1, side=32)
    assert {len(clips[n][1]["labels"]) for n in range(20)} == {2, 3, 4}


def test_boxes_masks_and_keypoints_agree_in_rotated_scenes():
    """Scenes are rotated by all four angles. Boxes must enclose masks tightly, and visible keypoints lie on masks."""
    clips = SyntheticClips(seed=1, num_clips=12, length=6, side=96)
    for n in range(12):
        _, target = clips[n]
        for box, mask, visible in zip(
            target["boxes"].flatten(0, 1), target["masks"].flatten(0, 1), target["visible"].flatten(), strict=True
        ):
            if not visible:
                assert not box.any()
                continue
            ys, xs = torch.where(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        visible_points = target["keypoints"][..., 2] == 2
        objects, frames, _ = torch.where(visible_points)
        x, y = target["keypoints"][visible_points][:, :2].T
        on_mask = target["masks"][objects, frames, y.ceil().long().clamp(1) - 1, x.long()]
        assert on_mask.float().mean() > 0.95  # a point on the border of a pixel can rotate into the adjacent pixel


def test_shapes_are_independent_of_motion():
    """Otherwise a detector could learn that the sprite that crosses the middle is a disc.

    Sprites 0 and 1 have fixed roles: they meet in the middle.
    """
    clips = SyntheticClips(seed=1, num_clips=60, length=1, side=32)
    labels = [clips[n][1]["labels"] for n in range(60)]
    for sprite in (0, 1):
        assert {int(each[sprite]) for each in labels} == {1, 2, 3}
    assert len({(int(each[0]), int(each[1])) for each in labels}) == 9


def test_range_of_seconds_makes_slow_and_fast_clips():
    def travel(seconds: tuple[float, float]) -> list[float]:
        clips = SyntheticClips(seed=1, num_clips=20, length=2, side=64, seconds=seconds, objects=(1, 1))
        boxes = [clips[n][1]["boxes"][0] for n in range(20)]
        return [float((b[1] - b[0])[:2].norm()) for b in boxes]

    slow, fast, mixed = travel((0.2, 0.2)), travel((0.8, 0.8)), travel((0.2, 0.8))
    assert sum(slow) < sum(mixed) < sum(fast)


def test_min_visible_decides_visibility():
    strict, loose = (SyntheticClips(seed=2, side=64, length=4, min_visible=share) for share in (0.9, 0.01))
    visible = [torch.cat([clips[n][1]["visible"].flatten() for n in range(20)]) for clips in (strict, loose)]
    assert visible[0].float().mean() < visible[1].float().mean() < 1
    assert (visible[0] <= visible[1]).all()


def test_heading_labels_are_directions_of_motion():
    clips = SyntheticClips(seed=5, num_clips=60, length=4, side=48, labels="heading")
    counts = torch.zeros(5)
    for n in range(60):
        _, target = clips[n]
        always_visible = target["visible"].all(dim=1) & (target["keypoints"][:, :, 0, 2] > 0).all(dim=1)
        path = target["keypoints"][always_visible, :, 0, :2]
        motion = path[:, -1] - path[:, 0]
        for label, (dx, dy) in zip(target["labels"][always_visible].tolist(), motion.tolist(), strict=True):
            heading = HEADINGS[label - 1]
            along, across = {"right": (dx, dy), "left": (-dx, dy), "down": (dy, dx), "up": (-dy, dx)}[heading]
            assert along >= abs(across)
            counts[label] += 1
    assert clips.num_classes == 5
    assert (counts[1:] > counts[1:].sum() * 0.15).all(), "no direction is preferred"


def test_headings_computed_by_hand():
    centers = np.zeros((2, 3, 3), np.float32)
    centers[0, :, :2] = [[0, 0], [5, 9], [-8, 3]]
    centers[0, :, 2] = 2
    boxes = np.zeros((2, 3, 4), np.float32)
    boxes[1] = [[0, 0, 2, 2], [0, 4, 2, 6], [50, 0, 60, 9]]
    visible = np.array([[True, True, True], [True, True, False]])
    assert [HEADINGS[n - 1] for n in _headings(centers, boxes, visible)] == ["left", "down"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": "color"}, "labels must be one of 'shape', 'heading', not 'color'"),
        ({"num_clips": 0}, r"num_clips must be ≥ 1 and .*, not 0 and \(2, 4\)"),
        ({"objects": (3, 2)}, r"objects two numbers ≥ 1, the smaller one first, not 1000 and \(3, 2\)"),
        ({"min_visible": 0.0}, r"min_visible must be in \(0, 1\] and .*, not 0\.0 and \(0\.8, 0\.8\)"),
        ({"seconds": (0.0, 0.8)}, r"seconds two numbers > 0, .*, not 0\.1 and \(0\.0, 0\.8\)"),
        ({"seconds": (0.8, 0.4)}, r"the smaller one first, not 0\.1 and \(0\.8, 0\.4\)"),
        ({"scene": 0.5}, r"scene must be None or ≥ 0\.8 s, the longest clip, not 0\.5"),
    ],
)
def test_invalid_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SyntheticClips(**fields)


def test_number_of_clips_is_bounded():
    clips = SyntheticClips(num_clips=3)
    assert len(clips) == 3
    with pytest.raises(IndexError, match=r"clip must be in \[0, 3\), not 3"):
        clips[3]


def test_clips_of_long_scenes_have_more_boxes_at_the_edges():
    """Sprites start inside the frame and reach its edges within four seconds."""
    settings = {"seed": 2, "num_clips": 30, "length": 2, "seconds": (0.1, 0.1), "objects": (5, 5), "side": 64}
    shares = {scene: _share_at_edges(SyntheticClips(scene=scene, **settings)) for scene in (None, 4.0)}
    assert shares[4.0] > shares[None] + 0.1


def _share_at_edges(clips):
    """Return the share of visible boxes that touch an edge of the frame."""
    boxes = torch.cat([target["boxes"][target["visible"]] for _, target in (clips[n] for n in range(len(clips)))])
    return ((boxes[:, :2] == 0) | (boxes[:, 2:] == clips.side)).any(dim=1).float().mean()


def test_scene_as_long_as_the_clip_equals_no_scene():
    clips = SyntheticClips(seed=5), SyntheticClips(seed=5, scene=0.8)
    assert all(torch.equal(clips[0][n][0], clips[1][n][0]) for n in range(5))
