"""Layouts of projects without an installable package, on files written here; wrappers; recognition."""

import pickle
import re

import numpy as np
import pytest
import torch
from helpers.caffe2_peers import Caffe2ResNet
from helpers.image_networks import thin_image_network
from helpers.parity_peers import assert_close, randomize

import res3d
from res3d.weights import WeightsError
from res3d.weights.layouts import LAYOUTS, recognise


@pytest.mark.parametrize("norm", ["frozen_batch", "batch"])
@pytest.mark.parametrize(("depth", "frames"), [(18, 1), (18, 3), (50, 1), (50, 3)])
def test_a_network_loaded_from_a_caffe2_pickle_computes_what_its_blobs_do(tmp_path, depth, frames, norm):
    peer = Caffe2ResNet(depth, frames, channels=8)
    extra = {
        "res2_0_branch2a_w_momentum": np.zeros(3, np.float32),
        "lr": np.float32(0.1),
        "weight_order": b"rgb",
        "rpn_cls_logits_w": np.zeros((2, 2), np.float32),
        "kps_score_w": np.zeros((2, 2), np.float32),
        "conv1_b": np.zeros(64, np.float32),
    }
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"blobs": peer.blobs | extra, "cfg": "text"}, protocol=2))
    overrides = {"stride_on": "1x1"} if depth == 50 else {}
    model = res3d.create_backbone(f"resnet{depth}_3d", width=0.125, norm=norm, **overrides).eval()
    report = res3d.load_weights(model, path)
    assert (report.layout, report.channel_order) == ("caffe2", "bgr")
    assert "BGR" in str(report)
    assert report.missing == report.unexpected == ()
    assert {"fc1000_w", "fc1000_b", "rpn_cls_logits_w", "conv1_b"} <= set(report.ignored)
    assert all(key.endswith(("running_mean", "running_var")) for key in report.initialized)
    bgr = torch.randn(1, 3, 3, 65, 49)
    with torch.no_grad():
        assert_close(model(bgr)["conv5"], peer(bgr))
        res3d.load_weights(model, path, channels="reverse")
        assert_close(model(bgr.flip(1))["conv5"], peer(bgr))


def test_bottlenecks_that_stride_on_another_convolution_are_refused_in_both_directions(tmp_path):
    small = {"width": 0.125, "body": "conv3"}
    blobs = {k: torch.from_numpy(v) for k, v in Caffe2ResNet(50, channels=8).blobs.items()}
    message = (
        "caffe2 weights belong to bottlenecks that stride on the 1x1 convolution, and the model's stride on the 3x3"
    )
    with pytest.raises(WeightsError, match=message):
        res3d.resnet50_3d(**small, weights=blobs)
    state = thin_image_network("resnet50").state_dict()
    with pytest.raises(
        WeightsError, match=r"stride on the 3x3 convolution, and the model's stride on the 1x1 \(set stride_on='3x3'\)"
    ):
        res3d.resnet50_3d(**small, stride_on="1x1", weights=state)
    res3d.save_weights(res3d.resnet50_3d(**small), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="stride on the 3x3 convolution, and the model's stride on the 1x1"):
        res3d.resnet50_3d(**small, stride_on="1x1", weights=tmp_path / "w.safetensors")


def as_detectron2(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """torchvision's image ResNet under detectron2's names."""
    renamed = {}
    for key, value in state.items():
        if key.startswith("fc.") or key.endswith("num_batches_tracked"):
            continue
        key = re.sub(r"^conv1\.", "stem.conv1.", key)
        key = re.sub(r"^bn1\.", "stem.conv1.norm.", key)
        key = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", key)
        key = re.sub(r"\.bn(\d)\.", r".conv\1.norm.", key)
        key = key.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
        renamed[key] = value.numpy()
    return renamed


@pytest.mark.parametrize("prefix", ["", "backbone.bottom_up."])
def test_detectron2_pickles_load(tmp_path, prefix):
    image_network = randomize(thin_image_network("resnet50"))
    tensors = {prefix + key: value for key, value in as_detectron2(image_network.state_dict()).items()}
    tensors |= {"pixel_mean": np.zeros(3), "proposal_generator.rpn_head.conv.weight": np.zeros(3)} if prefix else {}
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": tensors, "__author__": "someone", "matching_heuristics": True}))
    model = res3d.resnet50_3d(width=0.125, stride_on="1x1", norm="frozen_batch").eval()
    report = res3d.load_weights(model, path)
    assert report.layout == "detectron2"
    assert report.missing == report.unexpected == ()
    for name, conv in (("conv4.2.branch.b.conv", image_network.layer3[2].conv2), ("stem.conv", image_network.conv1)):
        kernel = model.get_submodule(name).weight
        assert torch.equal(kernel[:, :, kernel.shape[2] // 2], conv.weight)
    assert torch.equal(
        model.get_submodule("conv2.0").shortcut.norm.running_var, image_network.layer1[0].downsample[1].running_var
    )


@pytest.mark.parametrize("suffix", ["pth", "pth.tar", "pyth", "bin"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state": state},
        lambda state: {"model": {f"module.{k}": v for k, v in state.items()}, "args": None},
        lambda state: {"state_dict": {f"module.{k}": v.half() for k, v in state.items()}, "arch": "resnet"},
    ],
)
def test_wrappers_prefixes_and_half_precision_are_removed(tmp_path, suffix, wrap):
    image_network = randomize(thin_image_network("resnet18"))
    path = tmp_path / f"weights.{suffix}"
    torch.save(wrap(dict(image_network.state_dict())), path)
    model = res3d.resnet18_3d(width=0.125, weights=path)
    assert model.stem.conv.weight.dtype == torch.float32
    torch.testing.assert_close(model.stem.conv.weight[:, :, 0], image_network.conv1.weight, atol=1e-3, rtol=1e-3)


def test_norm_eps_is_set_on_request_and_reported(thin_spec):
    state = res3d.create_backbone(thin_spec).state_dict()
    model = res3d.create_backbone(thin_spec)
    assert res3d.load_weights(model, state).norm_eps == 1e-5
    assert res3d.load_weights(model, state, norm_eps=1e-3).norm_eps == 1e-3
    assert {m.eps for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)} == {1e-3}
    assert model.spec.norm.eps == 1e-3


def test_keys_that_match_no_layout_are_refused():
    with pytest.raises(
        WeightsError, match=r"2 keys \(first 'encoder.weight'\) match no layout \(accepted: res3d, torchvision"
    ):
        res3d.resnet18_3d(width=0.125, weights={"encoder.weight": torch.zeros(1), "encoder.bias": torch.zeros(1)})


def test_two_keys_for_one_tensor_are_refused():
    state = thin_image_network("resnet18").state_dict()
    state["classifier.weight"] = state["fc.weight"]
    with pytest.raises(WeightsError, match=r"fc.weight and classifier.weight both mean fc.weight"):
        res3d.resnet18_3d(width=0.125, weights=state)


def test_layouts_have_unique_names_and_are_recognised_from_keys():
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
    assert recognise(["conv1_w", "res2_0_branch2a_w"]).name == "caffe2"
    assert recognise(["stem.conv1.weight", "res2.0.conv1.weight"]).name == "detectron2"
    assert recognise(["backbone.layer1.0.conv1.conv.weight", "cls_head.fc_cls.bias"]).name == "mmaction2"
