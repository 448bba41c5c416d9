import copy
from dataclasses import replace

import pytest
import torch
from helpers.image_networks import thin_image_network
from helpers.parity_peers import randomize

import res3d
from res3d.backbone import CATALOG, BackboneSpec, ShortcutSpec, apply_overrides
from res3d.weights import WeightsError

POOLED = ShortcutSpec(kind="max_pool", kernel=(1, 3, 3))


def test_weights_are_copied_from_a_file_or_state_dict(thin, thin_spec, tmp_path):
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    for source in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors"), thin.state_dict()):
        other = res3d.create_backbone(thin_spec, weights=source)
        assert all(
            torch.equal(a, b) for a, b in zip(other.state_dict().values(), thin.state_dict().values(), strict=True)
        )


def test_the_report_accounts_for_every_tensor(thin, thin_spec):
    classifier = res3d.ClipClassifier(thin, 5)
    body = res3d.create_backbone(thin_spec, body="conv4")
    report = res3d.load_weights(body, classifier.state_dict())
    learned = {k for k in body.state_dict() if not k.endswith("num_batches_tracked")}
    assert learned <= set(report.loaded)
    assert {"fc.weight", "fc.bias"} <= set(report.ignored)
    assert any(key.startswith("backbone.conv5.") for key in report.ignored)
    assert report.missing == report.unexpected == ()
    assert len(report.loaded) + len(report.ignored) == len(classifier.state_dict())
    assert "ignored" in str(report)
    assert "a state dict" in str(report)


def test_a_classifier_is_loaded_with_its_head_or_with_a_new_head(thin, thin_spec):
    trained = res3d.ClipClassifier(thin, 5)
    loaded = res3d.create_classifier(thin_spec, 5, weights=trained.state_dict())
    assert torch.equal(loaded.fc.weight, trained.fc.weight)
    fresh = res3d.create_classifier(thin_spec, 9, weights=trained.state_dict(), head="new")
    assert fresh.num_classes == 9
    assert torch.equal(fresh.backbone.stem.conv.weight, thin.stem.conv.weight)
    with pytest.raises(WeightsError, match=r"fc.weight is \(5, 64\), the model's fc.weight \(9, 64\)"):
        res3d.create_classifier(thin_spec, 9, weights=trained.state_dict())


def test_half_precision_weights_are_converted(thin, thin_spec):
    half = {k: v.half() if v.is_floating_point() else v for k, v in thin.state_dict().items()}
    model = res3d.create_backbone(thin_spec, weights=half)
    assert model.stem.conv.weight.dtype == torch.float32
    torch.testing.assert_close(model.stem.conv.weight, thin.stem.conv.weight, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv3.0.branch.a.conv.weight"), "1 missing, first 'conv3.0.branch.a.conv.weight'"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected, first 'extra'"),
        (
            lambda s: s.update({"stem.conv.weight": torch.zeros(8, 1, 1, 7, 7)}),
            r"stem.conv.weight is \(8, 1, 1, 7, 7\), the model's stem.conv.weight \(8, 3, 1, 7, 7\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_leave_the_model_unchanged(thin, thin_spec, change, message):
    state = dict(thin.state_dict())
    change(state)
    model = res3d.create_backbone(thin_spec)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(WeightsError, match=message):
        res3d.load_weights(model, state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_load_that_is_not_strict_reports_missing_and_unexpected_tensors(thin, thin_spec):
    state = dict(thin.state_dict())
    state["extra"] = state.pop("stem.conv.weight")
    model = res3d.create_backbone(thin_spec)
    report = res3d.load_weights(model, state, strict=False)
    assert report.missing == ("stem.conv.weight",)
    assert report.unexpected == ("extra",)
    assert torch.equal(model.conv2[1].branch.a.conv.weight, thin.conv2[1].branch.a.conv.weight)


def test_a_file_saved_with_another_norm_eps_padding_or_shortcut_is_refused(tmp_path, thin_spec):
    path = tmp_path / "w.safetensors"
    res3d.save_weights(res3d.create_backbone(thin_spec, norm_eps=1e-3), path)
    with pytest.raises(WeightsError, match=r"was saved with norm eps 0.001, and the model's is 1e-05 \(norm_eps=0.001"):
        res3d.create_backbone(thin_spec, weights=path)
    model = res3d.create_backbone(thin_spec)
    assert res3d.load_weights(model, path, norm_eps=1e-3).norm_eps == model.stem.norm.eps == 1e-3
    res3d.save_weights(res3d.create_backbone(thin_spec, temporal_padding="replicate"), path)
    with pytest.raises(WeightsError, match="was saved with temporal_padding='replicate', not 'zeros'"):
        res3d.create_backbone(thin_spec, weights=path)
    res3d.save_weights(res3d.create_backbone(thin_spec), path)
    with pytest.raises(WeightsError, match=r"was saved with shortcut='project' in conv2.0, not 'pool_pad'"):
        res3d.create_backbone(thin_spec, weights=path, shortcut="pool_pad")


def change_conv2(spec: BackboneSpec, change) -> BackboneSpec:
    return replace(spec, stages=(change(spec.stages[0]), *spec.stages[1:]))


def change_shortcuts(spec: BackboneSpec, **settings) -> BackboneSpec:
    def change_stage(stage):
        return replace(stage, blocks=tuple(replace(b, shortcut=replace(b.shortcut, **settings)) for b in stage.blocks))

    return change_conv2(spec, change_stage)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: change_shortcuts(spec, source="input"), "shortcut source='preact' in conv2.0, not 'input'"),
        (lambda spec: change_conv2(spec, lambda s: replace(s, stride_at="first")), "stride_at='last' in conv2, not"),
        (
            lambda spec: change_conv2(spec, lambda s: replace(s, pool=None)),
            r"pool=PoolSpec\(kernel=\(1, 3, 3\), .* not None",
        ),
        (
            lambda spec: change_conv2(
                spec, lambda s: replace(s, blocks=(s.blocks[0], replace(s.blocks[1], shortcut=POOLED)))
            ),
            r"shortcut kernel=\(1, 1, 1\) in conv2.1, not \(1, 3, 3\)",
        ),
    ],
)
def test_a_file_of_another_architecture_with_the_same_tensor_shapes_is_refused(tmp_path, change, message):
    spec = apply_overrides(CATALOG["resnet18v2_3d"], width=0.125)
    res3d.save_weights(res3d.ResNet3d(spec), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=f"was saved with {message}"):
        res3d.load_weights(res3d.ResNet3d(change(spec)), tmp_path / "w.safetensors")


@pytest.mark.parametrize("strict", [True, False])
def test_preactivation_blocks_refuse_weights_of_post_activation_blocks(strict):
    state = thin_image_network("resnet18").state_dict()
    model = res3d.create_backbone("resnet18v2_3d", width=0.125)
    with pytest.raises(WeightsError, match=r"belong to blocks of order 'post' .* resnet18v2_3d are pre-activation"):
        res3d.load_weights(model, state, strict=strict)


def test_a_preactivation_body_without_final_norm_feeds_the_next_stage_of_the_whole_network():
    whole = randomize(res3d.create_backbone("resnet18v2_3d", width=0.125))
    spec, _ = whole.spec.split("conv4")
    body = res3d.ResNet3d(replace(spec, final_norm=False))
    res3d.load_weights(body, whole.state_dict())
    clip = torch.randn(1, 3, 2, 33, 40)
    assert torch.equal(whole.conv5(body.eval()(clip)["conv4"]), whole(clip)["conv5"])


def test_a_file_of_blocks_without_a_last_relu_is_refused(tmp_path, thin):
    conv2 = replace(thin.spec.stages[0], blocks=tuple(replace(b, last_act=False) for b in thin.spec.stages[0].blocks))
    res3d.save_weights(
        res3d.ResNet3d(replace(thin.spec, stages=(conv2, *thin.spec.stages[1:]))), tmp_path / "w.safetensors"
    )
    with pytest.raises(WeightsError, match=r"was saved with last_act=False in conv2.0, not True"):
        res3d.load_weights(thin, tmp_path / "w.safetensors")


def test_the_final_norm_of_a_shortened_preactivation_body_comes_from_the_next_stage():
    """The next stage's first norm reads the same feature map; the final norm of the whole network belongs to conv5."""
    whole = randomize(res3d.create_backbone("resnet50v2_3d", width=0.125, out_features=["conv4"]))
    body = res3d.create_backbone("resnet50v2_3d", width=0.125, body="conv4")
    report = res3d.load_weights(body, whole.state_dict())
    assert {name for name in report.loaded if name.startswith("conv4.norm.") and "num_b" not in name} == {
        f"conv4.norm.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")
    }
    assert not report.missing
    assert not any("conv5.0.preact" in name for name in report.ignored if "num_batches" not in name)
    clip = torch.randn(1, 3, 2, 33, 40)
    before_norm = whole(clip)["conv4"]
    assert torch.equal(body.eval()(clip)["conv4"], whole.conv5[0].preact(before_norm))


def test_a_shortened_preactivation_body_loads_its_saved_final_norm():
    body = randomize(res3d.create_backbone("resnet18v2_3d", width=0.125, body="conv3"))
    other = res3d.create_backbone("resnet18v2_3d", width=0.125, body="conv3")
    res3d.load_weights(other, body.state_dict())
    assert torch.equal(other.conv3.norm.weight, body.conv3.norm.weight)
