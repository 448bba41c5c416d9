from functools import cache

import pytest
import torch
from torch import nn

import res3d
from res3d.backbone import CATALOG, ResNet3d, apply_overrides

SIZES = [(1, 32, 32), (3, 33, 47), (5, 64, 40)]


def map_size(spec, stage: str, size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of a stage's map, computed layer by layer with the formula of torch.nn.Conv3d."""
    leading = spec if stage == spec.stage_names[-1] or stage == "stem" else spec.split(stage)[0]
    windows = list(leading.windows())[: 1 if stage == "stem" else None]
    for w in windows:
        axes = zip(size, w.kernel, w.stride, w.padding, w.dilation, strict=True)
        size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
    return size


@cache
def model_with_all_maps(name: str) -> ResNet3d:
    return ResNet3d(apply_overrides(CATALOG[name], width=0.125), out_features=CATALOG[name].stage_names).eval()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CATALOG)
@torch.no_grad()
def test_maps_have_the_channels_and_sizes_of_the_spec(name, size):
    names = CATALOG[name].stage_names
    size = (max(size[0], CATALOG[name].min_clip[0]), *size[1:])
    model = model_with_all_maps(name)
    maps = model(torch.zeros(2, CATALOG[name].in_channels, *size))
    assert list(maps) == list(names)
    for stage, feature in maps.items():
        info = model.feature_info[stage]
        assert tuple(feature.shape) == (2, info.channels, *map_size(model.spec, stage, size)), stage
        if model.spec.min_clip == (1, 1, 1):
            assert feature.shape[2:] == tuple(-(-n // s) for n, s in zip(size, info.stride, strict=True)), stage


def test_resnet18_3d_has_the_shapes_of_detect_and_track():
    with torch.device("meta"):
        maps = res3d.resnet18_3d(out_features=["stem", "conv4", "conv5"])(torch.empty(1, 3, 8, 224, 224))
    assert {name: tuple(x.shape) for name, x in maps.items()} == {
        "stem": (1, 64, 8, 112, 112),
        "conv4": (1, 256, 8, 14, 14),
        "conv5": (1, 512, 8, 7, 7),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_maps_and_gradients_are_finite(name):
    model = res3d.create_backbone(name, width=0.125)
    maps = model(torch.randn(2, CATALOG[name].in_channels, 5, 33, 47))
    (last,) = maps.values()
    last.square().mean().backward()
    assert torch.isfinite(last).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_out_features_select_and_order_the_maps(thin):
    clip = torch.randn(1, 3, 4, 32, 32)
    all_maps = thin.compute_maps(clip, thin.spec.stage_names, thin.spec.stage_names)
    model = res3d.ResNet3d(thin.spec, out_features=["conv4", "conv2"]).eval()
    model.load_state_dict(thin.state_dict())
    maps = model(clip)
    assert list(maps) == ["conv4", "conv2"]
    assert all(torch.equal(maps[name], all_maps[name]) for name in maps)
    assert list(thin(clip)) == ["conv5"]


def test_stages_after_the_last_of_out_features_do_not_run(thin):
    model = res3d.ResNet3d(thin.spec, out_features=["conv3", "stem"])
    model.conv4.register_forward_hook(lambda *_: pytest.fail("conv4 ran"))
    assert list(model(torch.randn(1, 3, 2, 32, 32))) == ["conv3", "stem"]


def test_the_map_of_the_stem_is_the_relu_output_before_the_pool():
    model = res3d.resnet18_3d(width=0.125, out_features=["stem"])
    stem = model(torch.randn(1, 3, 2, 64, 64))["stem"]
    assert tuple(stem.shape) == (1, 8, 2, 32, 32)
    assert (stem >= 0).all()
    assert isinstance(model.conv2.pool, nn.MaxPool3d)


def test_a_body_computes_the_same_map_as_the_whole_network():
    whole, body = (res3d.resnet18_3d(width=0.125, body=b) for b in ("conv5", "conv4"))
    assert body.spec.stage_names == ("stem", "conv2", "conv3", "conv4")
    body.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("conv5")})
    clip = torch.randn(1, 3, 2, 32, 32)
    whole.eval(), body.eval()
    assert torch.equal(body(clip)["conv4"], whole.run_stages(clip, body.spec.stage_names))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(3, 8, 32, 32), r"a clip must be float \[N, 3, T, H, W\], not float32 \(3, 8, 32, 32\)"),
        (torch.zeros(1, 1, 8, 32, 32), r"must be float \[N, 3, T, H, W\], not float32 \(1, 1, 8, 32, 32\)"),
        (torch.zeros(1, 3, 8, 32, 32, dtype=torch.uint8), r"not uint8 \(1, 3, 8, 32, 32\)"),
        (torch.zeros(1, 3, 0, 32, 32), r"needs clips of \(T, H, W\) ≥ \(1, 1, 1\), not \(0, 32, 32\)"),
    ],
)
def test_invalid_clips_are_refused(thin, clip, message):
    with pytest.raises(ValueError, match=message):
        thin(clip)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"out_features": ["conv6"]}, r"out_features: resnet18_3d has no stage 'conv6' \(accepted: stem, conv2"),
        ({"out_features": "conv5"}, r"out_features must be a list of stages .*, not 'conv5'"),
        ({"out_features": []}, r"out_features must be a list of stages"),
        ({"out_features": ["conv5", "conv5"]}, "names a stage twice"),
        ({"checkpoint_stages": ["conv9"]}, "checkpoint_stages: resnet18_3d has no stage 'conv9'"),
        ({"freeze_at": 6}, r"freeze_at must be one of 0 \(nothing\) to 5 \(everything\), not 6"),
        ({"freeze_at": True}, "freeze_at must be one of .*, not True"),
        ({"body": "stem"}, "body must be one of 'conv2', 'conv3', 'conv4', 'conv5', not 'stem'"),
        ({"body": "conv7"}, "body must be one of .*, not 'conv7'"),
    ],
)
def test_the_error_for_an_invalid_keyword_names_it(keywords, message):
    with pytest.raises(ValueError, match=message):
        res3d.resnet18_3d(width=0.125, **keywords)


def test_a_model_can_be_exported(thin):
    model, clip = res3d.ResNet3d(thin.spec, out_features=["conv3"]).eval(), torch.randn(1, 3, 4, 32, 32)
    exported = torch.export.export(model, (clip,))
    torch.testing.assert_close(exported.module()(clip)["conv3"], model(clip)["conv3"])


@pytest.mark.parametrize("stages", range(1, 6))
def test_a_network_resumes_after_leading_stages(thin, stages):
    """``resume`` returns the maps of ``forward`` and does not run the leading stages again."""
    model = res3d.ResNet3d(thin.spec, out_features=["conv2", "conv5"]).eval()
    model.load_state_dict(thin.state_dict())
    clip = torch.randn(2, 3, 4, 32, 32)
    expected = model(clip)
    leading = model.leading_maps(clip, stages)
    assert not any(m.requires_grad for m in leading.values())
    assert list(leading)[-1] == model.spec.stage_names[stages - 1]
    for name in model.spec.stage_names[:stages]:
        model.stage(name).register_forward_hook(lambda *_: pytest.fail("a leading stage ran again"))
    maps = model.resume(leading)
    assert list(maps) == list(expected)
    assert all(torch.equal(maps[name], expected[name]) for name in expected)
    classifier = res3d.ClipClassifier(model, 3).eval()
    assert torch.equal(classifier.resume(leading), classifier.classify_maps(expected["conv5"]))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({}, "maps must contain the map of at least one stage of resnet10_3d_thin, not {}"),
        ({"layer4": 8}, r"maps: resnet10_3d_thin has no stage 'layer4'; did you mean 'conv5'\? \(accepted: stem"),
        ({"stem": 9}, r"the map of stem must be \[N, 8, T, H, W\], not \[1, 9, 2, 8, 8\]"),
        ({"conv3": 16}, "maps must contain conv2: out_features has it, and it precedes conv3"),
    ],
)
def test_resume_refuses_invalid_maps(thin, maps, message):
    model = res3d.ResNet3d(thin.spec, out_features=["conv2", "conv5"])
    with pytest.raises(ValueError, match=message):
        model.resume({name: torch.zeros(1, channels, 2, 8, 8) for name, channels in maps.items()})
