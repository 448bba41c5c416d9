"""How far maps look in time, against what changes when a frame does."""

import pytest
import torch

import res3d
from res3d.backbone import averages_time, count_positions, frame_wise_stages, temporal_reach

ZOO = ["resnet18_3d", "slow_r50", "r3d_18", "c2d_r50", "i3d_r50", "r2plus1d_18", "mmaction2_i3d_r50", "resnet18v2_3d"]


def made(name: str, **overrides) -> res3d.ResNet3d:
    return res3d.create_backbone(name, width=0.0625, **overrides).eval().double()


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18_3d", ("stem", "conv2")),
        ("slow_r50", ("stem", "conv2", "conv3")),
        ("c2d_r50", ("stem", "conv2")),  # then pools pairs of frames
        ("r3d_18", ()),
        ("resnet18v2_3d", ("stem", "conv2")),
    ],
)
def test_stages_that_see_one_frame_at_a_time(name, stages):
    assert frame_wise_stages(made(name).spec) == stages


def test_the_2d_twin_is_frame_wise_throughout():
    assert frame_wise_stages(made("resnet18_3d", temporal_kernel=1).spec) == (
        "stem",
        "conv2",
        "conv3",
        "conv4",
        "conv5",
    )


@pytest.mark.parametrize("overrides", [{"norm": "group"}, {"attention": "squeeze_excite"}], ids=str)
def test_averages_over_frames_end_it(overrides):
    spec = made("resnet18_3d", **overrides).spec
    assert frame_wise_stages(spec) == (() if "norm" in overrides else ("stem",))
    assert averages_time(spec, "conv5")
    assert not averages_time(made("resnet18_3d").spec, "conv5")


@pytest.mark.parametrize("name", ZOO)
@torch.no_grad()
def test_reach_is_where_a_frame_is_felt(name):
    model = made(name)
    for stage in ("stem", "conv2", "conv4"):
        before, after = temporal_reach(model.spec, stage)
        stride = model.feature_info[stage].stride[0]
        frames = max(3 * (before + after), 4 * stride, 8)
        clip = torch.randn(1, 3, frames, 32, 32).double()
        whole = model.compute_maps(clip, model.spec.stage_names, [stage])[stage]
        changed = clip.clone()
        middle = frames // 2
        changed[:, :, middle] += 10
        again = model.compute_maps(changed, model.spec.stage_names, [stage])[stage]
        felt = (again != whole).flatten(3).any(3).any(1)[0].nonzero().flatten() * stride
        assert int(felt.min()) >= middle - after
        assert int(felt.max()) <= middle + before
        assert int(felt.max() - felt.min()) > before + after - 2 * stride  # and no wider than it must be
        assert count_positions(model.spec, stage, frames) == whole.shape[2]


def test_too_few_frames_make_no_position():
    assert count_positions(made("c2d_r50").spec, "conv5", 1) == 0


@pytest.mark.parametrize("function", [temporal_reach, averages_time])
def test_unknown_stages_are_named(function):
    with pytest.raises(ValueError, match=r"stage must be one of 'stem', 'conv2', .* not 'conv9'"):
        function(made("r3d_18").spec, "conv9")
