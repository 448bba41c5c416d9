from dataclasses import replace

import pytest
import torch

from res3d.data import Augmentation, SyntheticClips

CLIP, TARGET = SyntheticClips(seed=2, length=4, side=64)[0]


def seen_points(target):
    return target["keypoints"][target["keypoints"][..., 2] == 2]


def test_by_default_nothing_changes():
    clip, target = Augmentation()(CLIP, TARGET)
    assert torch.equal(clip, CLIP)
    assert all(torch.equal(target[name], TARGET[name]) for name in TARGET)


def test_a_flip_turns_everything_around_and_pairs_change_places():
    clip, target = Augmentation(flip=1.0)(CLIP, TARGET, flip_pairs=((2, 4),))
    assert torch.equal(clip, CLIP.flip(3))
    assert torch.equal(target["masks"], TARGET["masks"].flip(3))
    seen = TARGET["visible"]
    x1, y1, x2, y2 = TARGET["boxes"][seen].T
    assert torch.equal(target["boxes"][seen], torch.stack([64 - x2, y1, 64 - x1, y2], dim=1))
    order = [0, 1, 4, 3, 2]
    before, after = TARGET["keypoints"][:, :, order], target["keypoints"]
    known = after[..., 2] > 0
    assert torch.equal(after[..., 2], before[..., 2] * seen[..., None])
    assert torch.allclose(after[known][:, 0], 64 - before[known][:, 0])
    assert torch.equal(after[known][:, 1], before[known][:, 1])


def test_two_flips_are_none():
    once = Augmentation(flip=1.0)(CLIP, TARGET, flip_pairs=((2, 4),))
    clip, target = Augmentation(flip=1.0)(*once, flip_pairs=((2, 4),))
    assert torch.equal(clip, CLIP)
    seen = TARGET["visible"][..., None, None]
    assert torch.allclose(target["keypoints"], TARGET["keypoints"] * seen, atol=1e-5)


@pytest.mark.parametrize("augmentation", [Augmentation(scale=(0.6, 0.6)), Augmentation(scale=(1.7, 1.7))])
def test_scaled_objects_stay_where_their_pixels_are(augmentation):
    clip, target = augmentation(CLIP, TARGET)
    side = round(64 * augmentation.scale[0])
    assert clip.shape == (3, 4, side, side)
    factor = side / 64
    assert torch.allclose(target["boxes"], TARGET["boxes"] * factor * TARGET["visible"][..., None], atol=1e-4)
    assert torch.allclose(seen_points(target)[:, :2], seen_points(TARGET)[:, :2] * factor, atol=1e-4)
    assert target["masks"].shape == (*TARGET["masks"].shape[:2], side, side)
    assert abs(target["masks"].float().mean() - TARGET["masks"].float().mean()) < 0.02


def test_boxes_stay_around_masks_whatever_is_cut_off():
    """The box of what is left of a mask is inside the cut box, and reaches its edges but for concave shapes."""
    clips = SyntheticClips(seed=3, num_clips=12, length=3, side=64)
    left = gone = 0
    for number in range(12):
        clip, before = clips[number]
        cut, target = Augmentation(crop=(40, 30))(clip, before)
        assert cut.shape == (3, 3, 40, 30)
        for box, mask, visible in zip(
            target["boxes"].flatten(0, 1), target["masks"].flatten(0, 1), target["visible"].flatten(), strict=True
        ):
            if not visible:
                assert not box.any()
                assert not mask.any()
                gone += 1
                continue
            assert 0 <= box[0] < box[2] <= 30
            assert 0 <= box[1] < box[3] <= 40
            left += 1
            if mask.any():
                ys, xs = torch.where(mask)
                tight = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                assert (tight[:2] >= box[:2]).all()
                assert (tight[2:] <= box[2:]).all()
        points = target["keypoints"]
        known = points[..., 2] > 0
        assert (points[known][:, :2] >= 0).all()
        assert (points[known][:, 0] < 30).all()
        assert (points[known][:, 1] < 40).all()
        assert not points[~known].any()
    assert left > 20
    assert gone > 10


def test_a_window_larger_than_the_frame_has_black_around_it():
    clip, target = Augmentation(crop=(80, 70))(CLIP, TARGET)
    assert clip.shape == (3, 4, 80, 70)
    assert torch.isclose(clip.sum(), CLIP.sum())
    assert int(target["masks"].sum()) == int((TARGET["masks"] & TARGET["visible"][..., None, None]).sum())
    assert torch.equal(target["visible"], TARGET["visible"])


def test_frames_of_a_clip_are_colored_alike():
    still = CLIP[:, :1].expand(-1, 4, -1, -1)
    clip, target = Augmentation(color=(0.5, 0.5, 0.5, 0.1))(still, 7)
    assert target == 7
    assert not torch.allclose(clip, still)
    assert torch.equal(clip, clip[:, :1].expand(-1, 4, -1, -1))
    gray = torch.rand(1, 2, 8, 8)
    assert torch.equal(Augmentation(color=(0.5, 0.5, 0.5, 0.1))(gray, 7)[0], gray)


def test_what_is_drawn_follows_torchs_generator():
    augmentation = Augmentation(scale=(0.8, 1.2), crop=(48, 48), flip=0.5, color=(0.2, 0.2, 0.2, 0.0))

    def draw(seed):
        torch.manual_seed(seed)
        return augmentation(CLIP, TARGET)[0]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": (1.2, 0.8)}, "scale must be two factors > 0 in order, not"),
        ({"crop": (0, 4)}, r"crop must be \(height, width\) in pixels, not \(0, 4\)"),
        ({"flip": 1.5}, "flip must be a probability, not 1.5"),
        ({"color": (0.1, 0.1, 0.1, 0.7)}, "color must be three numbers in"),
    ],
)
def test_wrong_numbers_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(Augmentation(), **fields)
