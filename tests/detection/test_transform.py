import pytest
import torch
from helpers.detectors import tiny_detector
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.detection.transform import BatchSizes, ClipTransform, resize_targets

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
CLIP_SIZES = [(40, 56), (90, 30)]


def transform(channel_order: str = "rgb", **settings) -> ClipTransform:
    settings = {"min_size": 48, "max_size": 80, "image_mean": MEAN, "image_std": STD, **settings}
    return ClipTransform(DetectorSettings(**settings), channel_order).eval()


def test_frames_equal_torchvision():
    clips = [torch.rand(3, 3, *size) for size in CLIP_SIZES]
    batch = transform()(clips)
    assert batch.frames == 3
    assert batch.input_sizes == tuple(CLIP_SIZES)
    images_transform = GeneralizedRCNNTransform(48, 80, MEAN, STD).eval()
    for t in range(3):
        images, _ = images_transform([clip[:, t] for clip in clips])
        assert batch.sizes == tuple(images.image_sizes)
        assert batch.padded_size == images.tensors.shape[2:]
        torch.testing.assert_close(batch.pixels[:, :, t], images.tensors)


def test_bgr_networks_get_flipped_channels_with_mean_and_std_in_their_order():
    clips = [torch.rand(3, 2, *size) for size in CLIP_SIZES]
    flipped = transform("bgr", image_mean=MEAN[::-1], image_std=STD[::-1])(clips)
    assert torch.equal(flipped.pixels, transform()(clips).pixels.flip(1))


def test_plan_gives_the_sizes_of_forward():
    clips = [torch.rand(3, 2, *size) for size in CLIP_SIZES]
    batch = transform()(clips)
    plan = transform().plan([(2, *size) for size in CLIP_SIZES])
    assert plan == BatchSizes(frames=2, input_sizes=batch.input_sizes, sizes=batch.sizes)
    assert plan.padded_size == tuple(batch.pixels.shape[3:])


def test_targets_equal_torchvision():
    """Boxes, masks and keypoints of one frame, which both sides resize with the frame."""
    boxes = torch.tensor([[[4.0, 6, 20, 30]], [[10, 2, 50, 38]]])
    masks = torch.rand(2, 1, *CLIP_SIZES[0]) > 0.5
    keypoints = torch.cat([torch.rand(2, 1, 5, 2) * 40, torch.ones(2, 1, 5, 1)], dim=3)
    target = ClipTargets(
        boxes=boxes,
        visible=torch.ones(2, 1, dtype=torch.bool),
        labels=torch.tensor([1, 2]),
        extra={"masks": masks, "keypoints": keypoints},
    )
    batch = transform().plan([(1, *CLIP_SIZES[0])])
    (resized,) = resize_targets([target], batch, tiny_detector(keypoints=5).tasks)
    images_transform = GeneralizedRCNNTransform(48, 80, MEAN, STD).eval()
    expected = {"boxes": boxes[:, 0], "masks": masks[:, 0].to(torch.uint8), "keypoints": keypoints[:, 0]}
    _, (expected,) = images_transform([torch.rand(3, *CLIP_SIZES[0])], [expected])
    torch.testing.assert_close(resized.boxes[:, 0], expected["boxes"])
    torch.testing.assert_close(resized.extra["masks"][:, 0], expected["masks"].float())
    torch.testing.assert_close(resized.extra["keypoints"][:, 0], expected["keypoints"])


def test_min_size_is_drawn_in_training_and_the_last_at_inference():
    sizes = transform(min_size=(32, 48, 64))
    clip = torch.rand(3, 2, 40, 40)
    assert {sizes.train()([clip]).sizes[0] for _ in range(40)} == {(32, 32), (48, 48), (64, 64)}
    assert {sizes.eval()([clip]).sizes[0] for _ in range(9)} == {(64, 64)}


@pytest.mark.parametrize(("size", "resized"), [((40, 60), (48, 72)), ((40, 100), (32, 80)), ((48, 48), (48, 48))])
def test_max_size_limits_the_longer_side(size, resized):
    assert transform().plan([(1, *size)]).sizes == (resized,)
