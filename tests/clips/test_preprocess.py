import json
import warnings

import pytest
import torch
from torchvision.transforms import functional as F

from res3d.clips import KINETICS, Preprocessing

PLAIN = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def frames(n=3, height=60, width=90) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8)


def test_kinetics_equals_torchvisions_preset_for_r3d_18():
    from torchvision.models.video import R3D_18_Weights

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preset = R3D_18_Weights.KINETICS400_V1.transforms()
    images = frames(4, 96, 130)
    expected = preset(images.permute(0, 3, 1, 2))  # [C, T, H, W]
    prepared = KINETICS(images).permute(1, 0, 2, 3)
    assert prepared.shape == (3, 4, 112, 112)
    one_level = 1 / 255 / min(KINETICS.std)
    difference = (prepared - expected).abs()
    assert difference.max() <= 1.01 * one_level
    assert (difference > 1e-5).float().mean() < 1e-4, "more differences than from rounding of halves"


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(60, 90), (90, 61), (20, 300), (1, 1)])
@pytest.mark.parametrize(
    ("resize", "crop"), [(30, (30, 30)), (47, (29, 46)), ((33, 120), None), ((128, 171), (112, 112))]
)
def test_resize_and_crop_equal_torchvisions_functions(resize, crop, size, antialias):
    images = frames(2, *size)
    x = images.permute(0, 3, 1, 2).contiguous()
    x = F.resize(x.float(), [resize] if isinstance(resize, int) else list(resize), antialias=antialias).round()
    x = F.center_crop(x, list(crop)) if crop else x
    prepare = Preprocessing(resize=resize, crop=crop, antialias=antialias, mean=(0, 0, 0), std=(1, 1, 1))
    prepared = prepare(images) * 255
    assert prepared.shape == x.shape
    assert (prepared - x).abs().max() <= 1.01
    if not antialias:  # torchvision's antialiased resize of uint8 rounds its weights
        # Halves may be rounded differently: torch sums in another order on one thread.
        assert ((prepared - x).abs() > 0.01).float().mean() < 5e-3


def test_a_frame_is_preprocessed_the_same_alone_and_in_a_batch():
    images = frames()
    together = KINETICS(images)
    alone = torch.cat([KINETICS(image[None]) for image in images])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    ("resize", "crop", "expected"),
    [
        (30, None, (30, 45)),
        ((20, 20), None, (20, 20)),
        (None, (50, 40), (50, 40)),
        (None, None, (60, 90)),
        (30, (30, 9), (30, 9)),
    ],
)
def test_output_sizes(resize, crop, expected):
    assert Preprocessing(resize=resize, crop=crop, **PLAIN)(frames()).shape == (3, 3, *expected)


def test_values_are_scaled_and_normalized():
    x = Preprocessing(resize=None, crop=None, **PLAIN)(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    assert x.dtype == torch.float32
    assert torch.equal(x, torch.full((1, 3, 2, 2), 2.0))


def test_antialiasing_smooths_the_frames():
    images = frames()
    sharp, smooth = (Preprocessing(resize=(15, 22), crop=None, antialias=a, **PLAIN)(images) for a in (False, True))
    assert smooth.std() < 0.8 * sharp.std()


def test_preprocessing_is_equal_after_writing_and_reading_json():
    values = json.loads(json.dumps(KINETICS.to_dict()))
    assert values["resize"] == [128, 171]
    assert Preprocessing(**values) == KINETICS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resize": 0, "crop": None}, "resize must be whole pixels ≥ 1, not 0"),
        ({"resize": (10, 0), "crop": None}, r"resize must be whole pixels ≥ 1, not \(10, 0\)"),
        ({"resize": (10, 10, 10), "crop": None}, "resize must be whole pixels"),
        ({"resize": None, "crop": (5,)}, r"crop must be whole pixels ≥ 1, not \(5,\)"),
        ({"resize": (10, 20), "crop": (11, 11)}, r"crop \(11, 11\) is larger than frames resized to \(10, 20\)"),
        ({"resize": 10, "crop": (11, 5)}, r"crop \(11, 5\) is larger than frames resized to 10"),
        ({"resize": 9, "crop": None, "std": (1, 1, 0)}, "mean and std must be three numbers each, std > 0"),
        ({"resize": 9, "crop": None, "mean": (1, 1)}, "mean and std must be three numbers each"),
        ({"resize": 9, "crop": None, "mean": (1, 1, float("nan"))}, "mean and std must be three numbers each"),
        ({"resize": 9, "crop": None, "std": (1, 1, float("nan"))}, "mean and std must be three numbers each"),
    ],
)
def test_invalid_fields_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**(PLAIN | arguments))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 60, 90, 3), r"frames must be uint8 \[n, H, W, 3\], not torch.float32"),
        (torch.zeros(1, 3, 60, 90, dtype=torch.uint8), r"frames must be uint8 \[n, H, W, 3\]"),
        (torch.zeros(1, 20, 90, 3, dtype=torch.uint8), r"crop \(50, 50\) is larger than frames of \(20, 90\)"),
    ],
)
def test_invalid_frames_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(resize=None, crop=(50, 50), **PLAIN)(images)
