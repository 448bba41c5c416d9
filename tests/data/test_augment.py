from dataclasses import replace

import pytest
import torch

from res3d.data import Augmentation, SyntheticClips

CLIP, TARGET = SyntheticClips(seed=2, length=4, side=64)[0]


def visible_points(target):
    return target["keypoints"][target["keypoints"][..., 2] == 2]


def test_default_changes_nothing():
    clip, target = Augmentation()(CLIP, TARGET)
    assert torch.equal(clip, CLIP)
    assert all(torch.equal(target[name], TARGET[name]) for name in TARGET)


def test_flip_mirrors_clip_and_target_and_swaps_keypoint_pairs():
    clip, target = Augmentation(flip=1.0)(CLIP, TARGET, flip_pairs=((2, 4),))
    assert torch.equal(clip, CLIP.flip(3))
    assert torch.equal(target["masks"], TARGET["masks"].flip(3))
    visible = TARGET["visible"]
    x1, y1, x2, y2 = TARGET["boxes"][visible].T
    assert torch.equal(target["boxes"][visible], torch.stack([64 - x2, y1, 64 - x1, y2], dim=1))
    order = [0, 1, 4, 3, 2]
    before, after = TARGET["keypoints"][:, :, order], target["keypoints"]
    in_frame = after[..., 2] > 0
    assert torch.equal(after[..., 2], before[..., 2] * visible[..., None])
    assert torch.allclose(after[in_frame][:, 0], 64 - before[in_frame][:, 0])
    assert torch.equal(after[in_frame][:, 1], before[in_frame][:, 1])


def test_two_flips_restore_the_clip():
    once = Augmentation(flip=1.0)(CLIP, TARGET, flip_pairs=((2, 4),))
    clip, target = Augmentation(flip=1.0)(*once, flip_pairs=((2, 4),))
    assert torch.equal(clip, CLIP)
    visible = TARGET["visible"][..., None, None]
    assert torch.allclose(target["keypoints"], TARGET["keypoints"] * visible, atol=1e-5)


@pytest.mark.parametrize("augmentation", [Augmentation(scale=(0.6, 0.6)), Augmentation(scale=(1.7, 1.7))])
def test_scaled_annotations_follow_their_pixels(augmentation):
    clip, target = augmentation(CLIP, TARGET)
    side = round(64 * augmentation.scale[0])
    assert clip.shape == (3, 4, side, side)
    factor = side / 64
    assert torch.allclose(target["boxes"], TARGET["boxes"] * factor * TARGET["visible"][..., None], atol=1e-4)
    assert torch.allclose(visible_points(target)[:, :2], visible_points(TARGET)[:, :2] * factor, atol=1e-4)
    assert target["masks"].shape == (*TARGET["masks"].shape[:2], side, side)
    assert abs(target["masks"].float().mean() - TARGET["masks"].float().mean()) < 0.02


def test_cropped_boxes_enclose_their_masks():
    """The tight box of a cropped mask lies inside the cropped box."""
    clips = SyntheticClips(seed=3, num_clips=12, length=3, side=64)
    num_visible = num_hidden = 0
    for number in range(12):
        clip, before = clips[number]
        cropped, target = Augmentation(crop=(40, 30))(clip, before)
        assert cropped.shape == (3, 3, 40, 30)
        for box, mask, visible in zip(
            target["boxes"].flatten(0, 1), target["masks"].flatten(0, 1), target["visible"].flatten(), strict=True
        ):
            if not visible:
                assert not box.any()
                assert not mask.any()
                num_hidden += 1
                continue
            assert 0 <= box[0] < box[2] <= 30
            assert 0 <= box[1] < box[3] <= 40
            num_visible += 1
            if mask.any():
                ys, xs = torch.where(mask)
                tight = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                assert (tight[:2] >= box[:2]).all()
                assert (tight[2:] <= box[2:]).all()
        points = target["keypoints"]
        in_frame = points[..., 2] > 0
        assert (points[in_frame][:, :2] >= 0).all()
        assert (points[in_frame][:, 0] < 30).all()
        assert (points[in_frame][:, 1] < 40).all()
        assert not points[~in_frame].any()
    assert num_visible > 20
    assert num_hidden > 10


def test_crop_larger_than_the_frame_pads_with_black():
    clip, target = Augmentation(crop=(80, 70))(CLIP, TARGET)
    assert clip.shape == (3, 4, 80, 70)
    assert torch.isclose(clip.sum(), CLIP.sum())
    assert int(target["masks"].sum()) == int((TARGET["masks"] & TARGET["visible"][..., None, None]).sum())
    assert torch.equal(target["visible"], TARGET["visible"])


def test_color_changes_all_frames_of_a_clip_equally():
    still = CLIP[:, :1].expand(-1, 4, -1, -1)
    clip, target = Augmentation(color=(0.5, 0.5, 0.5, 0.1))(still, 7)
    assert target == 7
    assert not torch.allclose(clip, still)
    assert torch.equal(clip, clip[:, :1].expand(-1, 4, -1, -1))
    gray = torch.rand(1, 2, 8, 8)
    assert torch.equal(Augmentation(color=(0.5, 0.5, 0.5, 0.1))(gray, 7)[0], gray)


def test_random_choices_follow_torchs_generator():
    augmentation = Augmentation(scale=(0.8, 1.2), crop=(48, 48), flip=0.5, color=(0.2, 0.2, 0.2, 0.0))

    def draw(seed):
        torch.manual_seed(seed)
        return augmentation(CLIP, TARGET)[0]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": (1.2, 0.8)}, r"scale must be two factors > 0, the smaller one first, not \(1\.2, 0\.8\)"),
        ({"crop": (0, 4)}, r"crop must be \(height, width\) of at least 1 pixel, not \(0, 4\)"),
        ({"flip": 1.5}, r"flip must be a probability in \[0, 1\], not 1\.5"),
        ({"color": (0.1, 0.1, 0.1, 0.7)}, "color must be three numbers in"),
    ],
)
def test_values_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(Augmentation(), **fields)
