import pytest
import torch
from torch import nn

import res3d
from res3d.backbone import CATALOG, ResNet3d, apply_overrides

SIZES = [(1, 32, 32), (3, 33, 47), (5, 64, 40)]


def map_size(spec, stage: str, size: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes layer by layer, by the formula of torch.nn.Conv3d."""
    until = spec if stage == spec.stage_names[-1] or stage == "stem" else spec.split(stage)[0]
    windows = list(until.windows())[: 1 if stage == "stem" else None]
    for w in windows:
        axes = zip(size, w.kernel, w.stride, w.padding, w.dilation, strict=True)
        size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
    return size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CATALOG)
def test_maps_have_the_channels_and_sizes_that_the_spec_foretells(name, size):
    names = CATALOG[name].stage_names
    size = (max(size[0], CATALOG[name].min_clip[0]), *size[1:])
    with torch.device("meta"):
        model = ResNet3d(apply_overrides(CATALOG[name], width=0.125), out_features=names)
        maps = model(torch.empty(2, CATALOG[name].in_channels, *size))
    assert list(maps) == list(names)
    for stage, feature in maps.items():
        info = model.feature_info[stage]
        assert tuple(feature.shape) == (2, info.channels, *map_size(model.spec, stage, size)), stage
        if model.spec.min_clip == (1, 1, 1):
            assert feature.shape[2:] == tuple(-(-n // s) for n, s in zip(size, info.stride, strict=True)), stage


def test_the_shapes_of_resnet18_3d_are_detect_and_tracks():
    with torch.device("meta"):
        maps = res3d.resnet18_3d(out_features=["stem", "conv4", "conv5"])(torch.empty(1, 3, 8, 224, 224))
    assert {name: tuple(x.shape) for name, x in maps.items()} == {
        "stem": (1, 64, 8, 112, 112),
        "conv4": (1, 256, 8, 14, 14),
        "conv5": (1, 512, 8, 7, 7),
    }


@pytest.mark.parametrize("name", CATALOG)
def test_a_real_forward_pass_is_finite_and_meets_no_surprise_in_training(name):
    model = res3d.create_backbone(name, width=0.125)
    maps = model(torch.randn(2, CATALOG[name].in_channels, 5, 33, 47))
    (last,) = maps.values()
    last.square().mean().backward()
    assert torch.isfinite(last).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_out_features_pick_and_order_the_maps(thin):
    clip = torch.randn(1, 3, 4, 32, 32)
    everything = thin.compute_maps(clip, thin.spec.stage_names, thin.spec.stage_names)
    model = res3d.ResNet3d(thin.spec, out_features=["conv4", "conv2"]).eval()
    model.load_state_dict(thin.state_dict())
    picked = model(clip)
    assert list(picked) == ["conv4", "conv2"]
    assert all(torch.equal(picked[name], everything[name]) for name in picked)
    assert list(thin(clip)) == ["conv5"]


def test_stages_after_the_last_wanted_one_do_not_run(thin):
    model = res3d.ResNet3d(thin.spec, out_features=["conv3", "stem"])
    model.conv4.register_forward_hook(lambda *_: pytest.fail("conv4 ran"))
    assert list(model(torch.randn(1, 3, 2, 32, 32))) == ["conv3", "stem"]


def test_the_stem_map_comes_before_the_pool_and_is_rectified():
    model = res3d.resnet18_3d(width=0.125, out_features=["stem"])
    stem = model(torch.randn(1, 3, 2, 64, 64))["stem"]
    assert tuple(stem.shape) == (1, 8, 2, 32, 32)
    assert (stem >= 0).all()
    assert isinstance(model.conv2.pool, nn.MaxPool3d)


def test_a_body_is_the_same_network_cut_short():
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
def test_what_is_no_clip_is_refused(thin, clip, message):
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
def test_wrong_keywords_are_refused_by_name(keywords, message):
    with pytest.raises(ValueError, match=message):
        res3d.resnet18_3d(width=0.125, **keywords)


def test_a_classifier_averages_the_last_map_and_applies_a_linear_layer():
    model = res3d.create_classifier("r3d_18", 7, width=0.125, dropout=0.5).eval()
    clip = torch.randn(2, 3, 4, 32, 40)
    pooled = model.backbone(clip)["conv5"].mean(dim=(2, 3, 4))
    torch.testing.assert_close(model(clip), pooled @ model.fc.weight.T + model.fc.bias)
    assert model(clip).shape == (2, 7)
    model.train()
    torch.manual_seed(1)
    once, again = model(clip), model(clip)
    assert not torch.equal(once, again), "dropout has no effect"


@pytest.mark.parametrize(
    ("classes", "keywords", "message"),
    [
        (0, {}, "num_classes must be a whole number ≥ 1, not 0"),
        (5, {"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
        (5, {"head": "old"}, "head must be 'load' or 'new', not 'old'"),
    ],
)
def test_wrong_classifiers_are_refused(classes, keywords, message):
    with pytest.raises(ValueError, match=message):
        res3d.create_classifier("r3d_18", classes, width=0.125, **keywords)


def test_a_model_can_be_exported(thin):
    clip = torch.randn(1, 3, 4, 32, 32)
    exported = torch.export.export(thin, (clip,))
    torch.testing.assert_close(exported.module()(clip)["conv5"], thin(clip)["conv5"])


@pytest.mark.parametrize("stages", range(1, 6))
def test_a_network_resumes_behind_the_maps_of_leading_stages(thin, stages):
    """The same maps come out, whichever stages were run before; those stages do not run again."""
    model = res3d.ResNet3d(thin.spec, out_features=["conv2", "conv5"]).eval()
    model.load_state_dict(thin.state_dict())
    clip = torch.randn(2, 3, 4, 32, 32)
    whole = model(clip)
    leading = model.leading_maps(clip, stages)
    assert not any(m.requires_grad for m in leading.values())
    assert list(leading)[-1] == model.spec.stage_names[stages - 1]
    for name in model.spec.stage_names[:stages]:
        model.stage(name).register_forward_hook(lambda *_: pytest.fail("a leading stage ran again"))
    again = model.resume(leading)
    assert list(again) == list(whole)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    classifier = res3d.ClipClassifier(model, 3).eval()
    assert torch.equal(classifier.resume(leading), classifier.classify_maps(whole["conv5"]))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({}, "maps must hold the map of a stage of resnet10_3d_thin, and are empty"),
        ({"layer4": 8}, r"maps: resnet10_3d_thin has no stage 'layer4'; did you mean 'conv5'\? \(accepted: stem"),
        ({"stem": 9}, r"the map of stem must be \[N, 8, T, H, W\], not \[1, 9, 2, 8, 8\]"),
        ({"conv3": 16}, "maps must hold conv2 too: it comes out, and lies before conv3"),
    ],
)
def test_maps_that_a_network_cannot_resume_from_are_refused(thin, maps, message):
    model = res3d.ResNet3d(thin.spec, out_features=["conv2", "conv5"])
    with pytest.raises(ValueError, match=message):
        model.resume({name: torch.zeros(1, channels, 2, 8, 8) for name, channels in maps.items()})


@pytest.mark.parametrize("out_features", [["conv3"], ["conv5", "stem"]])
def test_a_classifier_takes_a_backbone_whatever_its_maps_are(thin, out_features):
    backbone = res3d.ResNet3d(thin.spec, out_features=out_features).eval()
    backbone.load_state_dict(thin.state_dict())
    classifier, clip = res3d.ClipClassifier(backbone, 3).eval(), torch.randn(2, 3, 4, 32, 32)
    assert torch.equal(classifier(clip), classifier.classify_maps(thin(clip)["conv5"]))
