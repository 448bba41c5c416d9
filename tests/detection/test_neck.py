import pytest
import torch

from res3d.backbone import FeatureInfo
from res3d.detection.neck import FeaturePyramid3d, NeckSpec, SingleLevel, stretch_time


@pytest.mark.parametrize(("length", "frames"), [(1, 5), (2, 5), (3, 8), (4, 4)])
def test_stretch_time_repeats_frames_in_order(length, frames):
    maps = torch.arange(float(length)).view(1, 1, length, 1, 1)
    assert stretch_time(maps, frames).flatten().tolist() == [t * length // frames for t in range(frames)]


def test_pyramid_levels_have_the_length_of_the_clip():
    levels = [FeatureInfo(c, s) for c, s in [(8, (1, 4, 4)), (16, (2, 8, 8)), (32, (4, 16, 16))]]
    neck = FeaturePyramid3d(NeckSpec(channels=6, temporal_kernel=3), levels)
    maps = [torch.randn(2, 8, 7, 12, 20), torch.randn(2, 16, 4, 6, 10), torch.randn(2, 32, 2, 3, 5)]
    shapes = [tuple(m.shape) for m in neck(maps, 7)]
    assert shapes == [(2, 6, 7, 12, 20), (2, 6, 7, 6, 10), (2, 6, 7, 3, 5), (2, 6, 7, 2, 3)]


def test_pyramid_of_strided_time_equals_pyramids_of_single_frames():
    """Each frame is the pyramid of the maps at floor(t · T_l / T), which are repeated before the levels are added."""
    levels = [FeatureInfo(4, (1, 4, 4)), FeatureInfo(4, (2, 8, 8))]
    neck = FeaturePyramid3d(NeckSpec(channels=4), levels)
    fine, coarse = torch.randn(1, 4, 6, 8, 8), torch.randn(1, 4, 3, 4, 4)
    clip_levels = neck([fine, coarse], 6)
    for t in range(6):
        frame_levels = neck([fine[:, :, t : t + 1], coarse[:, :, t // 2 : t // 2 + 1]], 1)
        for clip_level, frame_level in zip(clip_levels, frame_levels, strict=True):
            torch.testing.assert_close(clip_level[:, :, t], frame_level[:, :, 0])


def test_single_level_is_the_last_map():
    maps = [torch.randn(1, 4, 2, 8, 8), torch.randn(1, 8, 2, 4, 4)]
    (level,) = SingleLevel()(maps, 4)
    assert torch.equal(level, maps[-1][:, :, [0, 0, 1, 1]])
