"""Every zoo row against its origin: random parameters, the origin's own state dict, a non-square odd clip.

Maps and logits within 1e-5 of the largest value.
"""

import warnings

import pytest
import torch
from helpers.parity_peers import HaraResNet, I3ResNet, MMAction2I3D, assert_close, randomize
from torchvision.models import video

import res3d

CLIP = (1, 3, 5, 45, 61)


def check(name: str, theirs, trunk, clip=CLIP, logits_clip=None, logits=None, layout=None, **overrides) -> None:
    state = theirs.state_dict()
    classes = next(v.shape[0] for k, v in reversed(state.items()) if k.endswith("weight"))
    ours = res3d.create_classifier(name, classes, **overrides).eval()
    report = res3d.load_weights(ours, state)
    assert report.layout == layout
    assert report.missing == report.unexpected == report.inflated == report.initialized == ()
    assert len(report.loaded) + len(report.ignored) == len(state)
    assert set(report.loaded) == set(ours.state_dict())
    with torch.no_grad():
        x = torch.randn(*clip)
        assert_close(ours.backbone(x)["conv5"], trunk(x))
        x = x if logits_clip is None else torch.randn(*logits_clip)
        assert_close(ours(x), (logits or theirs)(x))


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvision_video(name):
    theirs = randomize(getattr(video, name)(num_classes=11))

    def trunk(x):
        return theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(theirs.stem(x)))))

    check(name, theirs, trunk, layout="torchvision r2plus1d" if name == "r2plus1d_18" else "torchvision video")


PYTORCHVIDEO = {  # clip for the trunk (C2D and I3D need 2 frames), clip that their fixed head windows accept
    "c2d_r50": (CLIP, (1, 3, 8, 224, 250)),
    "i3d_r50": (CLIP, (1, 3, 8, 250, 224)),
    "slow_r50": (CLIP, (1, 3, 9, 224, 250)),
    "r2plus1d_r50": (CLIP, (1, 3, 16, 224, 224)),
    "csn_r101": (CLIP, (1, 3, 32, 224, 224)),
}


@pytest.mark.parametrize("name", PYTORCHVIDEO)
def test_pytorchvideo(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = pytest.importorskip("pytorchvideo.models.hub")
    theirs = randomize(getattr(hub, name)())
    clip, logits_clip = PYTORCHVIDEO[name]
    theirs.blocks[-1].activation = None  # some heads end in a softmax; logits are compared

    def trunk(x):
        for block in theirs.blocks[:-1]:
            x = block(x)
        return x

    pooled = name in ("c2d_r50", "i3d_r50")
    check(name, theirs, trunk, clip, logits_clip, layout="pytorchvideo, pooled" if pooled else "pytorchvideo")


def test_pytorchvideo_slow_r101():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resnet = pytest.importorskip("pytorchvideo.models.resnet")
    theirs = randomize(
        resnet.create_resnet(model_depth=101, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(8, 7, 7))
    )

    def trunk(x):
        for block in theirs.blocks[:-1]:
            x = block(x)
        return x

    check("slow_r101", theirs, trunk, CLIP, (1, 3, 8, 224, 224), layout="pytorchvideo")


# The deepest are compared at a quarter of their width, in seconds; test_catalog.py has their full counts.
@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("depth", HaraResNet.DEPTHS)
def test_hara(depth, kind):
    width = 64 if depth <= 50 else 16
    theirs = randomize(HaraResNet(depth, kind, classes=9, width=width))
    shortcut = {"A": "pool_pad", "B": "project"}[kind]
    name = f"hara_resnet{depth}"
    check(name, theirs, theirs.trunk, layout="torchvision resnet", shortcut=shortcut, width=width / 64)


@pytest.mark.parametrize(("depth", "counts"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3))])
def test_i3resnet(depth, counts):
    width = 64 if depth == 50 else 16
    theirs = randomize(I3ResNet(counts, classes=9, width=width))
    check(f"i3resnet{depth}", theirs, theirs.trunk, layout="torchvision resnet", width=width / 64)


def test_mmaction2_i3d():
    theirs = randomize(MMAction2I3D(classes=9))
    check("mmaction2_i3d_r50", theirs, theirs.trunk, (1, 3, 9, 45, 61), layout="mmaction2")
