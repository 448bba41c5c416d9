"""Temporal receptive fields, compared with the positions that change when one frame changes."""

import pytest
import torch

import res3d
from res3d.backbone import averages_time, count_positions, frame_wise_stages, temporal_reach

NAMES = ["resnet18_3d", "slow_r50", "r3d_18", "c2d_r50", "i3d_r50", "r2plus1d_18", "mmaction2_i3d_r50", "resnet18v2_3d"]


def thin(name: str, **overrides) -> res3d.ResNet3d:
    return res3d.create_backbone(name, width=0.0625, **overrides).eval().double()


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18_3d", ("stem", "conv2")),
        ("slow_r50", ("stem", "conv2", "conv3")),
        ("c2d_r50", ("stem", "conv2")),  # conv3 begins with a temporal pool
        ("r3d_18", ()),
        ("resnet18v2_3d", ("stem", "conv2")),
    ],
)
def test_frame_wise_stages_end_at_the_first_temporal_layer(name, stages):
    assert frame_wise_stages(thin(name).spec) == stages


def test_all_stages_of_a_2d_twin_are_frame_wise():
    assert frame_wise_stages(thin("resnet18_3d", temporal_kernel=1).spec) == (
        "stem",
        "conv2",
        "conv3",
        "conv4",
        "conv5",
    )


@pytest.mark.parametrize("overrides", [{"norm": "group"}, {"attention": "squeeze_excite"}], ids=str)
def test_stages_with_averages_over_frames_are_not_frame_wise(overrides):
    spec = thin("resnet18_3d", **overrides).spec
    assert frame_wise_stages(spec) == (() if "norm" in overrides else ("stem",))
    assert averages_time(spec, "conv5")
    assert not averages_time(thin("resnet18_3d").spec, "conv5")


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_reach_covers_the_positions_that_change_with_one_frame(name):
    model = thin(name)
    for stage in ("stem", "conv2", "conv4"):
        before, after = temporal_reach(model.spec, stage)
        stride = model.feature_info[stage].stride[0]
        frames = max(3 * (before + after), 4 * stride, 8)
        clip = torch.randn(1, 3, frames, 16, 16).double()
        whole = model.compute_maps(clip, model.spec.stage_names, [stage])[stage]
        other_clip = clip.clone()
        middle = frames // 2
        other_clip[:, :, middle] += 10
        other_map = model.compute_maps(other_clip, model.spec.stage_names, [stage])[stage]
        changed = (other_map != whole).flatten(3).any(3).any(1)[0].nonzero().flatten() * stride
        assert int(changed.min()) >= middle - after
        assert int(changed.max()) <= middle + before
        assert int(changed.max() - changed.min()) > before + after - 2 * stride  # the reach is not too wide
        assert count_positions(model.spec, stage, frames) == whole.shape[2]


def test_a_clip_that_is_too_short_has_no_position():
    assert count_positions(thin("c2d_r50").spec, "conv5", 1) == 0


@pytest.mark.parametrize("function", [temporal_reach, averages_time])
def test_unknown_stages_are_refused(function):
    with pytest.raises(ValueError, match=r"stage must be one of 'stem', 'conv2', .* not 'conv9'"):
        function(thin("r3d_18").spec, "conv9")
