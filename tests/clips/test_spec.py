"""Clip specs: frames and views compared with plain loops, and the values written to files."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F

from res3d.clips import KINETICS, ClipSampler, ClipSpec, Preprocessing, SegmentSampler

PLAIN = {"length": 4, "resize": None, "crop": (20, 30)}


def random_frames(n=2, height=40, width=56) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8)


def naive_segments(n: int, segments: int, length: int, step: int) -> list[int]:
    """Return the frames of the test sampling of TSN and MMAction2."""
    span = (length - 1) * step + 1
    tick = max(n - span + 1, 0) / segments
    starts = [int(tick / 2 + tick * k) for k in range(segments)]
    return [min(start + i * step, n - 1) for start in starts for i in range(length)]


@given(st.integers(1, 200), st.integers(1, 16), st.integers(1, 5), st.integers(1, 3))
def test_segments_equal_a_loop(n, segments, length, step):
    spec = ClipSpec(
        length=segments, sampling="segments", segment_length=length, step=step if length > 1 else 1, fps=None
    )
    indices = spec.indices(n)
    assert indices.tolist() == [naive_segments(n, segments, length, spec.step)]
    assert indices.shape == (1, spec.num_frames)
    assert SegmentSampler(segments, length, spec.step).num_clips(n) == 1


@pytest.mark.parametrize(
    ("spec", "n", "expected"),
    [
        (ClipSpec(length=4, sampling="segments"), 100, [[12, 37, 62, 87]]),
        (ClipSpec(length=8, sampling="segments"), 5, [[0, 0, 1, 2, 2, 3, 4, 4]]),
        (ClipSpec(length=2, sampling="segments", segment_length=3, step=2), 20, [[4, 6, 8, 12, 14, 16]]),
        (ClipSpec(length=3, sampling="segments"), 0, []),
    ],
)
def test_examples_of_segments(spec, n, expected):
    assert spec.indices(n).tolist() == expected


def test_dense_clips_equal_those_of_a_clip_sampler():
    spec = ClipSpec(length=8, step=2)
    assert spec.sampler() == ClipSampler(8, 16, 2)
    assert spec.sampler(stride=4, tail="shift") == ClipSampler(8, 4, 2, "shift")
    assert spec.sampler(stride=1, align="center") == ClipSampler(8, 1, 2, align="center")
    assert spec.num_frames == 8
    assert spec.indices(40).tolist() == spec.sampler().indices(40).tolist()
    with pytest.raises(ValueError, match="the number of frames must be ≥ 0, not -1"):
        SegmentSampler().num_clips(-1)


def test_a_single_view_equals_the_preprocessing_alone():
    spec = ClipSpec.of(KINETICS, length=16, fps=15.0)
    frames = random_frames(3, 90, 120)
    assert spec.preprocessing == KINETICS
    assert torch.equal(spec(frames), KINETICS(frames))
    assert torch.equal(spec.prepare_views(frames), KINETICS(frames)[:, None])
    assert spec.output_size(90, 120) == (112, 112)


@pytest.mark.parametrize("height", [40, 57])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("views", [1, 5, 10])
def test_one_five_and_ten_views_equal_torchvision(height, antialias, views):
    spec = ClipSpec(length=1, resize=33, crop=(20, 30), views=views, antialias=antialias, std=(0.5,) * 3)
    frames = random_frames(2, height, 56)
    whole = ClipSpec(length=1, resize=33, antialias=antialias, std=(0.5,) * 3)(frames)
    crops = {1: lambda x, s: [F.center_crop(x, s)], 5: F.five_crop, 10: F.ten_crop}[views](whole, [20, 30])
    assert torch.equal(spec.prepare_views(frames), torch.stack(list(crops), dim=1))


@pytest.mark.parametrize("size", [(40, 57), (57, 40), (48, 48)])
def test_three_views_run_along_the_longer_side(size):
    spec = ClipSpec(length=1, crop=(32, 32), views=3)
    frames = random_frames(2, *size)
    whole = frames.permute(0, 3, 1, 2).float() / 255
    height, width = size
    expected = []
    for k in range(3):
        top, left = round((height - 32) / 2), round((width - 32) / 2)
        if height > width:
            top = [0, top, height - 32][k]
        else:
            left = [0, left, width - 32][k]
        expected.append(whole[:, :, top : top + 32, left : left + 32])
    views = spec.prepare_views(frames)
    torch.testing.assert_close(views, torch.stack(expected, dim=1), rtol=0, atol=1e-7)
    assert torch.equal(views[:, 1], ClipSpec(length=1, crop=(32, 32))(frames))


@pytest.mark.parametrize("views", [1, 3])
def test_channel_order_value_range_mean_and_std_are_applied(views):
    mean, std = (103.53, 116.28, 123.675), (57.0, 58.0, 59.0)
    spec = ClipSpec(**PLAIN, mean=mean, std=std, channel_order="bgr", value_range=255.0, views=views)
    frames = random_frames()
    prepared = spec.prepare_views(frames)[:, views // 2]
    top, left = 10, 13
    for n in range(2):
        for channel in range(3):
            plane = frames[n, top : top + 20, left : left + 30, 2 - channel].float()
            torch.testing.assert_close(prepared[n, channel], (plane - mean[channel]) / std[channel])


def test_to_dict_leaves_out_later_fields_at_their_default():
    before = {
        "resize": [128, 171],
        "crop": [112, 112],
        "mean": [0.43216, 0.394666, 0.37645],
        "std": [0.22803, 0.22145, 0.216989],
        "antialias": False,
    }
    assert KINETICS.to_dict() == before
    spec = ClipSpec.of(KINETICS, length=16, fps=15.0)
    assert spec.to_dict() == {**before, "length": 16, "step": 1, "fps": 15.0}
    changed = ClipSpec.of(KINETICS, length=8, views=3, channel_order="bgr", sampling="segments", segment_length=2)
    values = json.loads(json.dumps(changed.to_dict()))
    assert {"views", "channel_order", "sampling", "segment_length"} <= set(values)
    assert "value_range" not in values
    assert ClipSpec(**values) == changed
    assert Preprocessing(**KINETICS.to_dict()) == KINETICS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "clip length must be a whole number from 1 to 2147483647, not 0"),
        ({"step": 1.5}, "clip step must be a whole number from 1 to 2147483647, not 1.5"),
        ({"fps": 0.0}, r"fps must be > 0 frames per second, not 0\.0"),
        ({"fps": float("inf")}, "fps must be > 0 frames per second, not inf"),
        ({"sampling": "random"}, "sampling must be one of 'dense', 'segments', not 'random'"),
        ({"segment_length": 2}, "segment_length 2 needs sampling='segments', not 'dense'"),
        ({"sampling": "segments", "step": 2}, "step 2 needs segment_length ≥ 2 with sampling='segments', not 1"),
        ({"views": 2}, "views must be one of 1, 3, 5, 10, not 2"),
        ({"views": 3, "crop": None}, "3 views need a crop"),
        ({"channel_order": "gbr"}, "channel_order must be one of 'rgb', 'bgr', not 'gbr'"),
        ({"value_range": 100.0}, r"value_range must be one of \(1\.0, 255\.0\), not 100\.0"),
        ({"std": (1.0, 0.0, 1.0)}, "mean and std must be three numbers each, std > 0"),
        ({"resize": (10, 40)}, r"crop .* is larger than frames resized to \(10, 40\)"),
    ],
)
def test_invalid_fields_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipSpec(**(PLAIN | arguments))


def test_methods_refuse_specs_and_frames_that_they_do_not_support():
    with pytest.raises(ValueError, match="views must be 1 to call a ClipSpec, not 3: use prepare_views"):
        ClipSpec(**PLAIN, views=3)(random_frames())
    with pytest.raises(ValueError, match="sampling='segments' is a whole video"):
        ClipSpec(length=8, sampling="segments").sampler(stride=4)
    with pytest.raises(ValueError, match=r"frames must be uint8 \[n, H, W, 3\]"):
        ClipSpec(**PLAIN, views=3).prepare_views(random_frames().float())
    wide = ClipSpec(length=4, resize=20, crop=(20, 30))
    assert wide(random_frames(1, 40, 60)).shape == (1, 3, 20, 30)
    with pytest.raises(ValueError, match=r"crop \(20, 30\) is larger than frames of \(20, 25\)"):
        wide(random_frames(1, 40, 50))
    with pytest.raises(ValueError, match=r"crop \(20, 30\) is larger than frames of \(19, 56\)"):
        ClipSpec(**PLAIN, views=5).prepare_views(random_frames(1, 19, 56))
