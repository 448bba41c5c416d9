"""Inflation of 2D weights: the identities that each mode guarantees, for single layers and for whole networks."""

import re

import pytest
import torch
import torchvision
from helpers.image_networks import thin_image_network
from helpers.parity_peers import assert_close, randomize
from torch import nn

import res3d
from res3d.backbone import CATALOG, BackboneSpec, ConvSpec, apply_overrides
from res3d.weights import WeightsError
from res3d.weights.inflation import INFLATIONS, NOISE, change_channels, inflate_kernel

THIN = {"width": 0.125}


def image_maps(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """conv5 of a torchvision image ResNet."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


IMAGE_NETWORKS = {
    "resnet18_3d": "resnet18",
    "resnet34_3d": "resnet34",
    "resnet50_3d": "resnet50",
    "resnext50_32x4d_3d": "resnext50_32x4d",
    "resnext101_32x8d_3d": "resnext101_32x8d",
    "resnext101_64x4d_3d": "resnext101_64x4d",
    "wide_resnet50_2_3d": "wide_resnet50_2",
    "wide_resnet101_2_3d": "wide_resnet101_2",
    "slow_r50": "resnet50",
    "c2d_r50": "resnet50",
    "i3d_r50": "resnet50",
    "i3resnet50": "resnet50",
    "hara_resnet18": "resnet18",
    "hara_resnet50": "resnet50",
    "mmaction2_i3d_r50": "resnet50",
}


def assert_complete(report: res3d.LoadReport, model: res3d.ResNet3d) -> None:
    """Check that an image network fills every tensor, and that only its classifier is ignored."""
    has_temporal_kernels = any(conv.kernel[0] > 1 for conv in all_convs(model.spec))
    assert bool(report.inflated) == has_temporal_kernels or model.spec.name == "c2d_r50"
    assert report.missing == report.unexpected == report.initialized == ()
    assert set(report.ignored) == {"fc.weight", "fc.bias"}


def all_convs(spec: BackboneSpec) -> list[ConvSpec]:
    return [spec.stem.conv, *(conv for stage in spec.stages for block in stage.blocks for conv in block.convs)]


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_an_image_network_of_full_size_fills_every_tensor(name):
    with torch.device("meta"):  # shapes without values
        image_network = getattr(torchvision.models, IMAGE_NETWORKS[name])()
        model = res3d.create_backbone(name)
        assert_complete(res3d.load_weights(model, image_network.state_dict()), model)


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_a_centered_network_computes_the_image_networks_map_for_every_frame(name):
    image_network = randomize(thin_image_network(IMAGE_NETWORKS[name]))
    model = res3d.create_backbone(name, **THIN).eval()
    assert_complete(res3d.load_weights(model, image_network.state_dict()), model)
    image = torch.randn(1, 3, 65, 49)
    with torch.no_grad():
        expected = image_maps(image_network, image)
        for frames in (1, 2, 3, 8):
            if frames < model.spec.min_clip[0]:
                continue
            maps = model(image.unsqueeze(2).expand(-1, -1, frames, -1, -1))["conv5"]
            for frame in maps.unbind(2):
                assert_close(frame, expected)


def test_mean_inflation_is_exact_with_replicated_padding_in_time():
    image_network = randomize(thin_image_network("resnet18"))
    model = res3d.resnet18_3d(temporal_padding="replicate", **THIN).eval()
    res3d.load_weights(model, image_network.state_dict(), inflate="mean")
    image = torch.randn(1, 3, 65, 49)
    with torch.no_grad():
        expected = image_maps(image_network, image)
        for frames in (1, 2, 3, 8):
            for frame in model(image.unsqueeze(2).expand(-1, -1, frames, -1, -1))["conv5"].unbind(2):
                assert_close(frame, expected)


def test_without_temporal_stride_each_frame_is_computed_alone():
    image_network = randomize(thin_image_network("resnet18"))
    model = res3d.resnet18_3d(weights=image_network.state_dict(), **THIN).eval()
    clip = torch.randn(1, 3, 4, 64, 48)
    with torch.no_grad():
        for frame, map_ in zip(clip.unbind(2), model(clip)["conv5"].unbind(2), strict=True):
            assert_close(map_, image_maps(image_network, frame))


def test_an_inflated_classifier_computes_the_image_classifiers_logits():
    image_network = randomize(thin_image_network("resnet18", num_classes=13))
    model = res3d.create_classifier("resnet18_3d", 13, weights=image_network.state_dict(), **THIN).eval()
    image = torch.randn(2, 3, 65, 49)
    with torch.no_grad():
        assert_close(model(image.unsqueeze(2).expand(-1, -1, 5, -1, -1)), image_network(image))


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("mode", ["center", "mean", "repeat"])
def test_an_inflated_layer_on_equal_frames_computes_what_the_2d_layer_does(mode, frames):
    plain = nn.Conv2d(4, 6, 3, padding=1, bias=False).double()
    kernel = inflate_kernel(plain.weight.detach(), frames, mode)
    assert kernel.shape == (6, 4, frames, 3, 3)
    image = torch.randn(1, 4, 7, 9, dtype=torch.float64)
    clip = image.unsqueeze(2).expand(-1, -1, 9, -1, -1)
    y = nn.functional.conv3d(clip, kernel, padding=(frames // 2, 1, 1))
    scale = frames if mode == "repeat" else 1
    interior = y[:, :, frames // 2 : 9 - frames // 2]
    torch.testing.assert_close(interior, (scale * plain(image)).unsqueeze(2).expand_as(interior))
    if mode == "center":
        torch.testing.assert_close(y, plain(image).unsqueeze(2).expand_as(y))
    elif frames > 1:
        assert not torch.allclose(y[:, :, 0], scale * plain(image)), "zero padding in time changes the first frame"


def test_noise_fills_the_other_frames_and_only_one_mode_divides():
    kernel = torch.randn(8, 8, 3, 3)
    noisy = inflate_kernel(kernel, 3, "center_noise")
    assert torch.equal(noisy[:, :, 1], kernel)
    rest = noisy[:, :, [0, 2]]
    assert rest.std() == pytest.approx(NOISE, rel=0.1)
    divided = inflate_kernel(kernel, 3, "center_noise_divided")
    torch.testing.assert_close(divided[:, :, 1], kernel / 3)
    assert divided[:, :, 0].std() == pytest.approx(NOISE / 3, rel=0.1)


@pytest.mark.parametrize("mode", INFLATIONS)
def test_load_weights_applies_every_mode(mode):
    image_network = randomize(thin_image_network("resnet18"))
    model = res3d.resnet18_3d(**THIN)
    res3d.load_weights(model, image_network.state_dict(), inflate=mode)
    inflated, kernel = model.conv3[0].branch.b.conv.weight, image_network.layer2[0].conv2.weight
    torch.manual_seed(0)
    expected = inflate_kernel(kernel.detach(), 3, mode)
    if "noise" in mode:
        torch.testing.assert_close(inflated, expected, atol=0.02, rtol=0)
    else:
        assert torch.equal(inflated, expected)


def test_a_frame_wise_twin_inflates_as_an_image_network_does():
    spec = apply_overrides(CATALOG["r3d_18"], width=0.125)
    twin = randomize(res3d.ResNet3d(apply_overrides(spec, temporal_kernel=1)))
    model = res3d.ResNet3d(spec).eval()
    report = res3d.load_weights(model, twin.state_dict())
    assert "stem.conv.weight" in report.inflated
    image = torch.randn(1, 3, 1, 40, 33)
    with torch.no_grad():
        for frames in (1, 2, 8):
            maps = model(image.expand(-1, -1, frames, -1, -1))["conv5"]
            for frame in maps.unbind(2):
                assert_close(frame, twin(image)["conv5"][:, :, 0])


@pytest.mark.parametrize(("name", "middle"), [("r2plus1d_18", "2x"), ("r2plus1d_r50", "out"), ("r2plus1d_r50", "2x")])
def test_factored_networks_compute_what_their_frame_wise_twin_does(name, middle):
    spec = apply_overrides(CATALOG[name], width=0.125, middle=middle)
    twin = randomize(res3d.ResNet3d(apply_overrides(spec, temporal_kernel=1)))
    model = res3d.ResNet3d(spec).eval()
    report = res3d.load_weights(model, twin.state_dict())
    assert report.missing == report.unexpected == ()
    assert any("temporal" in key for key in report.inflated)
    assert any(".conv.norm." in key for key in report.initialized)
    image = torch.randn(1, 3, 1, 40, 33)
    with torch.no_grad():
        for frames in (1, 2, 3, 8):
            for frame in model(image.expand(-1, -1, frames, -1, -1))["conv5"].unbind(2):
                assert_close(frame, twin(image)["conv5"][:, :, 0])


def test_a_factored_network_that_is_too_narrow_is_refused_and_unchanged():
    model = res3d.r2plus1d_18(body="conv2")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = res3d.r2plus1d_18(body="conv2", temporal_kernel=1).state_dict()
    message = (
        "stem.conv.weight cannot enter the (2+1)D convolution stem: it needs 64 channels between its factors and has 45"
    )
    with pytest.raises(WeightsError, match=re.escape(message)):
        res3d.load_weights(model, state)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_depthwise_convolution_refuses_a_dense_kernel():
    state = thin_image_network("resnet101").state_dict()
    with pytest.raises(
        WeightsError, match=r"layer1.0.conv2.weight .* a dense kernel cannot enter a depthwise convolution"
    ):
        res3d.csn_r101(weights=state, **THIN)


@pytest.mark.parametrize("channels", ["reverse", "sum", "repeat"])
def test_changed_input_channels_compute_what_the_image_network_does(channels):
    image_network = randomize(thin_image_network("resnet18"))
    count = {"reverse": 3, "sum": 1, "repeat": 6}[channels]
    model = res3d.resnet18_3d(in_channels=count, **THIN).eval()
    report = res3d.load_weights(model, image_network.state_dict(), channels=channels)
    assert "stem.conv.weight" in report.inflated
    image = torch.randn(1, 1 if channels == "sum" else 3, 33, 47)
    rgb = {"reverse": image.flip(1), "sum": image.expand(-1, 3, -1, -1), "repeat": image}[channels]
    changed = image.repeat(1, 2, 1, 1) if channels == "repeat" else image
    with torch.no_grad():
        assert_close(model(changed.unsqueeze(2))["conv5"][:, :, 0], image_maps(image_network, rgb))


def test_another_number_of_input_channels_is_refused_unless_requested():
    state = thin_image_network("resnet18").state_dict()
    with pytest.raises(
        WeightsError, match=r"conv1.weight is \(8, 3, 7, 7\), the model's stem.conv.weight \(8, 1, 1, 7, 7\)"
    ):
        res3d.resnet18_3d(in_channels=1, weights=state, **THIN)
    with pytest.raises(ValueError, match="channels='sum' is for models of 1 input channel, not 2"):
        change_channels(torch.zeros(4, 3, 1, 1), 2, "sum")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"inflate": "centre"},
            "inflate must be one of 'center', 'mean', 'repeat', 'center_noise', 'center_noise_divided'",
        ),
        ({"channels": "bgr"}, "channels must be one of 'keep', 'reverse', 'sum', 'repeat', not 'bgr'"),
        ({"norm_eps": -1}, "norm_eps must be at least 0, not -1"),
    ],
)
def test_wrong_arguments_are_refused(thin, arguments, message):
    with pytest.raises(ValueError, match=message):
        res3d.load_weights(thin, {}, **arguments)


def test_weights_of_a_wide_network_are_refused_by_shape():
    state = thin_image_network("wide_resnet50_2").state_dict()
    with pytest.raises(WeightsError, match=r"layer1.0.conv1.weight is \(16, 8, 1, 1\), the model's"):
        res3d.resnet50_3d(weights=state, **THIN)
