import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.ops import MultiScaleRoIAlign

from res3d.ops.roi_align import TubePooler

STRIDES = (4, 8, 16, 32)


def pyramid(clips: int, frames: int, size: int = 256) -> list[torch.Tensor]:
    return [torch.randn(clips, 3, frames, size // s, size // s) for s in STRIDES]


@pytest.mark.parametrize("strides", [STRIDES, (16,)])
def test_each_box_is_pooled_from_the_map_of_its_frame(strides):
    """For a tube whose boxes have equal sizes, torchvision selects the same level in every frame."""
    maps = [level for level, s in zip(pyramid(2, 3), STRIDES, strict=True) if s in strides]
    sides = 2 ** (3 + 5 * torch.rand(40, 1, 1))
    corners = torch.rand(40, 3, 2) * 150
    tubes = torch.cat([corners, corners + sides], dim=2)
    per_clip = [tubes[:15], tubes[15:]]
    pooled = TubePooler(maps, strides)(per_clip, 7)
    assert pooled.shape == (40, 3, 3, 7, 7)
    roi_align = MultiScaleRoIAlign([str(s) for s in strides], 7, 2)
    for t in range(3):
        frame = {str(s): level[:, :, t] for s, level in zip(strides, maps, strict=True)}
        expected = roi_align(frame, [tube[:, t] for tube in per_clip], [(256, 256)] * 2)
        torch.testing.assert_close(pooled[:, :, t], expected)


def test_the_mean_area_of_a_tube_selects_its_level():
    pooler = TubePooler(pyramid(1, 2), STRIDES)
    tube = torch.tensor([[[0.0, 0, 112, 112], [0, 0, 224, 224]]])  # mean side 177: below 224, so stride 8
    assert pooler.levels(tube).tolist() == [1]
    hidden = torch.tensor([[[0.0, 0, 0, 0], [0, 0, 224, 224]]])  # empty boxes do not count
    assert pooler.levels(hidden).tolist() == [2]
    assert pooler.levels(torch.zeros(1, 2, 4)).tolist() == [0]


def test_of_two_levels_with_equal_stride_the_later_one_is_selected():
    """A backbone with output stride 16 has two levels of stride 16; the later one has the larger receptive field."""
    maps = [torch.randn(1, 2, 1, 256 // s, 256 // s) for s in (4, 8, 16, 16)]
    assert TubePooler(maps, (4, 8, 16, 16)).levels(torch.tensor([[[0.0, 0, 300, 300]]])).unique().tolist() == [3]


def test_clips_without_tubes():
    pooler = TubePooler(pyramid(2, 3), STRIDES)
    empty = torch.zeros(0, 3, 4)
    assert pooler([empty, empty], 5).shape == (0, 3, 3, 5, 5)
    assert pooler([empty, random_tubes(4, 3)], 5).shape == (4, 3, 3, 5, 5)


def test_half_precision_maps_are_pooled_at_exact_positions():
    """bfloat16 would round coordinates by several pixels, and frame 257 to frame 256."""
    ramp = torch.arange(320.0).expand(1, 1, 260, 8, 320).clone()  # values are x / stride
    ramp += 1000 * (torch.arange(260) == 257)[None, None, :, None, None]
    tubes = torch.tensor([1001.0, 4, 1017, 20]).expand(1, 260, 4)
    whole = TubePooler([ramp], [4])([tubes], 4)
    half = TubePooler([ramp.bfloat16()], [4])([tubes], 4)
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).abs().max() <= 4  # bfloat16's precision at values of 250 to 1250
    assert half[0, 0, 257].min() > 1200 > 300 > half[0, 0, 256].max()
