"""Conversion of single tensors and layers to the shapes of a model."""

import pytest
import torch
import torch.nn.functional as F
from helpers.parity_peers import assert_close, randomize
from torch import Tensor, nn

import res3d
from res3d.weights import WeightsError
from res3d.weights.accounting import Account, CheckpointTensor
from res3d.weights.inflation import change_channels, inflate_kernel
from res3d.weights.layouts import RES3D
from res3d.weights.surgery import FactoredLayer, Surgery

SURGERY = Surgery(inflate="center", channels="keep", norm_eps=1e-5)
PLAIN = {"temporal_kernel": 1}  # makes all convolutions of a (2+1)D network plain
WIDE = {"middle": "2x"}  # enough channels between the factors for any plain convolution


def fit(name: str, shape: tuple[int, ...], tensor: Tensor, **options) -> tuple[Tensor, bool]:
    surgery = Surgery(**{"inflate": "center", "channels": "keep", "norm_eps": 1e-5, **options})
    return surgery.fit(name, torch.zeros(shape), CheckpointTensor("key", tensor))


def make_network(name: str = "r2plus1d_18", **overrides) -> res3d.ResNet3d:
    return res3d.create_backbone(name, width=0.0625, body="conv2", **overrides).eval()


def find_layers(model: nn.Module, state: dict[str, Tensor]) -> dict[str, FactoredLayer]:
    return {layer.name: layer for layer in FactoredLayer.find(Account(model, (), state, RES3D))}


def test_a_tensor_of_the_same_shape_is_not_changed():
    for name, shape in (("conv3.0.branch.a.conv.weight", (4, 2, 3, 3, 3)), ("stem.norm.weight", (4,))):
        tensor = torch.randn(shape)
        fitted, changed = fit(name, shape, tensor)
        assert fitted is tensor
        assert not changed


@pytest.mark.parametrize("mode", ["center", "mean", "repeat"])
@pytest.mark.parametrize("dims", [4, 5])
def test_a_kernel_of_one_frame_is_inflated(mode, dims):
    kernel = torch.randn(4, 2, 3, 3)
    tensor = kernel if dims == 4 else kernel.unsqueeze(2)
    fitted, changed = fit("conv3.0.branch.a.conv.weight", (4, 2, 3, 3, 3), tensor, inflate=mode)
    assert changed
    assert torch.equal(fitted, inflate_kernel(kernel, 3, mode))


def test_a_linear_layer_over_a_window_becomes_a_convolution():
    linear = nn.Linear(2 * 5 * 7, 4, bias=False)
    window = torch.randn(1, 2, 5, 7)
    fitted, changed = fit("box_head.conv.weight", (4, 2, 1, 5, 7), linear.weight.detach())
    assert changed
    got = F.conv3d(window.unsqueeze(2), fitted).flatten(1)
    torch.testing.assert_close(got, linear(window.flatten(1)))


def test_a_pointwise_convolution_becomes_a_linear_classifier():
    weight = torch.randn(5, 8, 1, 1, 1)
    fitted, changed = fit("fc.weight", (5, 8), weight)
    assert not changed
    assert torch.equal(fitted, weight.flatten(1))


@pytest.mark.parametrize("channels", ["reverse", "repeat"])
def test_only_the_kernel_that_reads_the_clip_changes_channels(channels):
    kernel = torch.randn(4, 3, 1, 3, 3)
    fitted, changed = fit("stem.conv.weight", (4, 3, 1, 3, 3), kernel, channels=channels)
    assert changed
    assert torch.equal(fitted, change_channels(kernel, 3, channels))
    fitted, changed = fit("conv2.0.branch.a.conv.weight", (4, 3, 1, 3, 3), kernel, channels=channels)
    assert fitted is kernel
    assert not changed


@pytest.mark.parametrize(
    ("name", "shape", "tensor_shape", "message"),
    [
        ("stem.norm.weight", (4,), (8,), r"key is \(8,\), the model's stem.norm.weight \(4,\)"),
        (
            "c.weight",
            (4, 2, 3, 3, 3),
            (4, 2, 3, 3, 1),
            r"key is \(4, 2, 3, 3, 1\), the model's c.weight \(4, 2, 3, 3, 3\)",
        ),
        ("c.weight", (4, 2, 3, 3, 3), (4, 2, 5, 5), r"key is \(4, 2, 5, 5\), the model's c.weight \(4, 2, 3, 3, 3\)"),
        ("c.weight", (4, 1, 1, 3, 3), (4, 4, 3, 3), r"a dense kernel cannot enter a depthwise convolution"),
        ("c.weight", (4, 2, 1, 3, 3), (4, 2, 3, 3, 3), r"key is \(4, 2, 3, 3, 3\), the model's c.weight"),
    ],
)
def test_other_shapes_are_refused(name, shape, tensor_shape, message):
    with pytest.raises(WeightsError, match=message):
        fit(name, shape, torch.zeros(tensor_shape))


def test_the_identity_of_a_norm_computes_its_input():
    norm, x = nn.BatchNorm3d(4, eps=1e-5).eval(), torch.randn(2, 4, 2, 3, 3)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        values = SURGERY.identity(f"stem.norm.{leaf}", torch.zeros(4))
        getattr(norm, leaf).data.copy_(values)
    torch.testing.assert_close(norm(x), x)


def test_factored_layers_are_those_with_a_plain_counterpart():
    state = make_network(**PLAIN).state_dict()
    layers = find_layers(make_network(**WIDE), state)
    branches = [f"conv2.{block}.branch.{conv}" for block in (0, 1) for conv in "ab"]
    assert list(layers) == ["stem", *branches]
    assert [name for name, layer in layers.items() if layer.is_summed] == ["conv2.0.branch.b", "conv2.1.branch.b"]
    assert all(layer.spatial_first for layer in layers.values())
    assert layers["stem"].norm_leaves == ["weight", "bias", "running_mean", "running_var"]
    assert layers["stem"].plain.key == "stem.conv.weight"
    assert find_layers(make_network(**WIDE), make_network(**WIDE).state_dict()) == {}


@pytest.mark.parametrize(
    ("name", "layer_name"),
    [
        ("r2plus1d_18", "stem"),
        ("r2plus1d_18", "conv2.0.branch.a"),
        ("r2plus1d_18", "conv2.0.branch.b"),
        ("r2plus1d_r50", "conv2.0.branch.b"),  # its temporal factor comes first
    ],
)
@torch.no_grad()
def test_a_factored_layer_computes_what_the_plain_layer_does(name, layer_name):
    twin, model = randomize(make_network(name, **PLAIN)), randomize(make_network(name, **WIDE), seed=2)
    account = Account(model, (), twin.state_dict(), RES3D)
    layers = {layer.name: layer for layer in FactoredLayer.find(account)}
    SURGERY.factor(layers[layer_name])
    for key, value in account.new_values.items():
        account.model_tensors[key].copy_(value)
    plain, factored = twin.get_submodule(layer_name), model.get_submodule(layer_name)
    if layer_name == "stem":
        plain, factored = (nn.Sequential(stem.conv, stem.norm, stem.act) for stem in (plain, factored))
    channels = layers[layer_name].plain.tensor.shape[1]
    image = torch.rand(2, channels, 1, 9, 8)
    for frame in factored(image.expand(-1, -1, 5, -1, -1)).unbind(2):
        assert_close(frame, plain(image)[:, :, 0])
    assert f"{layer_name}.conv.weight" not in account.unexpected


def test_layers_that_cannot_compute_the_plain_layer_are_refused():
    state = make_network(**PLAIN).state_dict()
    with pytest.raises(WeightsError, match=r"it needs 8 channels between its factors and has 4 \(middle='2x'"):
        SURGERY.factor(find_layers(make_network(middle=4), state)["conv2.0.branch.b"])
    with pytest.raises(WeightsError, match="only if the model has batch norm"):
        SURGERY.factor(find_layers(make_network(norm="group", **WIDE), state)["stem"])
    long = {**state, "conv2.0.branch.a.conv.weight": torch.zeros(4, 4, 3, 3, 3)}
    with pytest.raises(WeightsError, match=r"conv2.0.branch.a.conv.weight spans 3 frames"):
        SURGERY.factor(find_layers(make_network(**WIDE), long)["conv2.0.branch.a"])
    large = {**state, "conv2.0.branch.a.conv.weight": torch.zeros(4, 4, 1, 5, 5)}
    with pytest.raises(WeightsError, match=r"conv2.0.branch.a.conv.weight is \(4, 4, 5, 5\), the model's"):
        SURGERY.factor(find_layers(make_network(**WIDE), large)["conv2.0.branch.a"])
