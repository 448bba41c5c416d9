"""res3d's r3d_18, mc3_18 and r2plus1d_18 against torchvision's own, every parameter and statistic random."""

import re

import pytest
import torch
from torchvision.models import video

import res3d

STAGES = {"layer1": "conv2", "layer2": "conv3", "layer3": "conv4", "layer4": "conv5"}


def our_name(name: str) -> str:
    """torchvision's key under our name."""
    if name.startswith("fc."):
        return name
    if name.startswith("stem."):
        index, leaf = re.fullmatch(r"stem\.(\d)\.(\w+)", name).groups()
        return {
            ("short", "0"): f"stem.conv.{leaf}",
            ("short", "1"): f"stem.norm.{leaf}",
            ("long", "0"): f"stem.conv.spatial.{leaf}",
            ("long", "1"): f"stem.conv.norm.{leaf}",
            ("long", "3"): f"stem.conv.temporal.{leaf}",
            ("long", "4"): f"stem.norm.{leaf}",
        }[STEM_KIND, index]
    layer, block, rest = re.fullmatch(r"(layer\d)\.(\d)\.(.*)", name).groups()
    prefix = f"{STAGES[layer]}.{block}"
    if rest.startswith("downsample."):
        index, leaf = rest.split(".")[1:]
        return f"{prefix}.shortcut.{['conv', 'norm'][int(index)]}.{leaf}"
    conv, index, *inner = rest.split(".")
    leaf = inner[-1]
    which = {"conv1": "a", "conv2": "b"}[conv]
    if index == "1":
        return f"{prefix}.branch.{which}.norm.{leaf}"
    if len(inner) == 1:
        return f"{prefix}.branch.{which}.conv.{leaf}"
    return f"{prefix}.branch.{which}.conv.{ {'0': 'spatial', '1': 'norm', '3': 'temporal'}[inner[0]] }.{leaf}"


STEM_KIND = "short"


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_equal_parameters_give_equal_outputs(name, monkeypatch):
    monkeypatch.setitem(globals(), "STEM_KIND", "long" if name == "r2plus1d_18" else "short")
    theirs = getattr(video, name)(num_classes=11).eval()
    for key, tensor in theirs.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.dim() == 1 and tensor.is_floating_point():
            tensor.normal_(0.3, 0.5)
    ours = res3d.create_classifier(name, 11).eval()
    renamed = {our_name(key): tensor for key, tensor in theirs.state_dict().items()}
    renamed = {key if key.startswith("fc.") else f"backbone.{key}": tensor for key, tensor in renamed.items()}
    ours.load_state_dict(renamed)  # strict: every key of theirs has its place, and every one of ours is filled
    clip = torch.randn(1, 3, 7, 45, 61)
    with torch.no_grad():
        x = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(theirs.stem(clip)))))
        y = ours.backbone(clip)["conv5"]
        assert (x - y).abs().max() <= 1e-5 * x.abs().max()
        a, b = theirs(clip), ours(clip)
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()
