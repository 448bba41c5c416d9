"""Networks of the catalog, compared with the implementations that they come from.

Random weights are loaded from the other network's state dict; the clip has odd sizes and is not square. Maps and logits
agree within 1e-5 of the largest value.
"""

import warnings

import pytest
import torch
from helpers.parity_peers import HaraResNet, I3ResNet, MMAction2I3D, assert_close, randomize
from torchvision.models import video

import res3d
from res3d.backbone import count_parameters

CLIP = (1, 3, 5, 45, 61)
WIDTHS = [0.125, pytest.param(1, marks=pytest.mark.full)]


def check(name: str, reference, trunk, clip=CLIP, logits_clip=None, logits=None, layout=None, **overrides) -> None:
    state = reference.state_dict()
    classes = next(v.shape[0] for k, v in reversed(state.items()) if k.endswith("weight"))
    model = res3d.create_classifier(name, classes, **overrides).eval()
    report = res3d.load_weights(model, state)
    assert report.layout == layout
    assert report.missing == report.unexpected == report.inflated == report.initialized == ()
    assert len(report.loaded) + len(report.ignored) == len(state)
    assert set(report.loaded) == set(model.state_dict())
    with torch.no_grad():
        x = torch.randn(*clip)
        assert_close(model.backbone(x)["conv5"], trunk(x))
        x = x if logits_clip is None else torch.randn(*logits_clip)
        assert_close(model(x), (logits or reference)(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvision_video(name):
    reference = randomize(getattr(video, name)(num_classes=11))

    def trunk(x):
        return reference.layer4(reference.layer3(reference.layer2(reference.layer1(reference.stem(x)))))

    check(name, reference, trunk, layout="torchvision r2plus1d" if name == "r2plus1d_18" else "torchvision video")


PYTORCHVIDEO = {  # clip for the trunk, and clip of a size that the fixed windows of the head accept
    "c2d_r50": (CLIP, (1, 3, 8, 224, 250)),
    "i3d_r50": (CLIP, (1, 3, 8, 250, 224)),
    "slow_r50": (CLIP, (1, 3, 9, 224, 250)),
    "r2plus1d_r50": (CLIP, (1, 3, 16, 224, 224)),
    "csn_r101": (CLIP, (1, 3, 32, 224, 224)),
}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PYTORCHVIDEO)
def test_pytorchvideo(name, width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = pytest.importorskip("pytorchvideo.models.hub")
    reference = randomize(getattr(hub, name)(stem_dim_out=round(64 * width)))
    clip, logits_clip = PYTORCHVIDEO[name]
    reference.blocks[-1].activation = None  # some heads end with a softmax; the test compares logits

    def trunk(x):
        for block in reference.blocks[:-1]:
            x = block(x)
        return x

    pooled = name in ("c2d_r50", "i3d_r50")
    layout = "pytorchvideo, pooled" if pooled else "pytorchvideo"
    check(name, reference, trunk, clip, logits_clip, layout=layout, width=width)


@pytest.mark.parametrize("width", WIDTHS)
def test_pytorchvideo_slow_r101(width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resnet = pytest.importorskip("pytorchvideo.models.resnet")
    reference = randomize(
        resnet.create_resnet(
            model_depth=101,
            stem_dim_out=round(64 * width),
            stem_conv_kernel_size=(1, 7, 7),
            head_pool_kernel_size=(8, 7, 7),
        )
    )

    def trunk(x):
        for block in reference.blocks[:-1]:
            x = block(x)
        return x

    check("slow_r101", reference, trunk, CLIP, (1, 3, 8, 224, 224), layout="pytorchvideo", width=width)


# The following networks are compared at an eighth of their width. At full width, parameter counts are compared: Hara's
# in test_catalog.py, those of I3ResNet here.
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("depth", HaraResNet.DEPTHS)
def test_hara(depth, kind):
    reference = randomize(HaraResNet(depth, kind, classes=9, width=8))
    shortcut = {"A": "pool_pad", "B": "project"}[kind]
    name = f"hara_resnet{depth}"
    check(name, reference, reference.trunk, layout="torchvision resnet", shortcut=shortcut, width=0.125)


@pytest.mark.parametrize(("depth", "counts"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3))])
def test_i3resnet(depth, counts):
    with torch.device("meta"):
        expected = count_parameters(I3ResNet(counts, classes=9))
        assert count_parameters(res3d.create_classifier(f"i3resnet{depth}", 9)) == expected
    reference = randomize(I3ResNet(counts, classes=9, width=8))
    check(f"i3resnet{depth}", reference, reference.trunk, layout="torchvision resnet", width=0.125)


@pytest.mark.slow
def test_mmaction2_i3d():
    reference = randomize(MMAction2I3D(classes=9))
    check("mmaction2_i3d_r50", reference, reference.trunk, (1, 3, 9, 45, 61), layout="mmaction2")
