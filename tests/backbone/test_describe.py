import pytest
import torch
from helpers.paths import ROOT

import res3d
from res3d.backbone.describe import group_repeats

DOCS = ROOT / "docs"
# Multiply-adds in 1e9. Classifiers: published by torchvision (weights.meta["_ops"]) for 16×112×112 and 400 classes.
# Bodies: counted from Detect-and-Track's definition for 8×224×224.
CLASSIFIERS = {"r3d_18": 40.697, "mc3_18": 43.343, "r2plus1d_18": 40.519}
# Name: frames, and the multiply-adds that PyTorchVideo publishes for 256 pixels. Except for Slow they include norms and
# pools; convolutions and the linear layer alone have up to 2.5 % less.
PYTORCHVIDEO = {
    "c2d_r50": (8, 25.89),
    "i3d_r50": (8, 37.53),
    "slow_r50": (8, 54.52),
    "r2plus1d_r50": (16, 76.45),
    "csn_r101": (32, 75.62),
}
BODIES = {
    "resnet18_3d": 33.93,
    "resnet34_3d": 74.62,
    "resnet50_3d": 56.74,
    "resnet101_3d": 117.89,
    "resnet152_3d": 179.03,
    "resnet18_3d_bottleneck": 29.82,
}
STRIDE_ON_1X1 = {"resnet50_3d": 54.89, "resnet101_3d": 116.04, "resnet152_3d": 177.18, "resnet18_3d_bottleneck": 27.97}


def meta_backbone(name: str, **keywords) -> res3d.ResNet3d:
    """Return a backbone without data: ``describe`` does not need weights, and full-size ones are slow to initialize."""
    with torch.device("meta"):
        return res3d.create_backbone(name, **keywords)


def meta_classifier(name: str, classes: int, **keywords) -> res3d.ClipClassifier:
    with torch.device("meta"):
        return res3d.create_classifier(name, classes, **keywords)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), CLASSIFIERS.items())
def test_classifiers_have_the_published_multiply_adds(name, expected):
    table = res3d.describe(meta_classifier(name, 400), (3, 16, 112, 112))
    assert round(table.multiply_adds / 1e9, 3) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames", "published"), [(n, *row) for n, row in PYTORCHVIDEO.items()])
def test_pytorchvideo_networks_have_the_published_multiply_adds_without_norms_and_pools(name, frames, published):
    table = res3d.describe(meta_classifier(name, 400), (3, frames, 256, 256))
    assert 0.975 * published <= table.multiply_adds / 1e9 <= published + 0.005


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), BODIES.items())
def test_bodies_have_the_multiply_adds_counted_from_their_definition(name, expected):
    table = res3d.describe(meta_backbone(name), (3, 8, 224, 224))
    assert round(table.multiply_adds / 1e9, 2) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), STRIDE_ON_1X1.items())
def test_strides_on_the_1x1_convolution_have_fewer_multiply_adds(name, expected):
    table = res3d.describe(meta_backbone(name, stride_on="1x1"), (3, 8, 224, 224))
    assert round(table.multiply_adds / 1e9, 2) == expected


def test_a_table_has_a_row_for_every_stage():
    model = meta_classifier("r3d_18", 400, freeze_at=2)
    table = res3d.describe(model, (3, 16, 112, 112))
    assert [row.name for row in table.rows] == ["stem", "conv2", "conv3", "conv4", "conv5", "head"]
    assert [row.frozen for row in table.rows] == [True, True, False, False, False, False]
    assert table.rows[2].shape == (128, 8, 28, 28)
    assert table.parameters == 33_371_472
    assert table.rows[2].layers == "[3×3×3, 128 → 3×3×3, 128] ×2"
    assert table.rows[2].receptive_field == (25, 51, 51)
    assert table.rows[2].stride == (2, 4, 4)
    lines = str(table).splitlines()
    assert lines[0] == "r3d_18 on a clip of 3×16×112×112 (C×T×H×W)"
    stem = ["stem", "3×7×7,", "64", "1×2×2", "64×16×56×56", "3×7×7", "28,352", "1.416", "G", "frozen"]
    assert lines[2].split() == stem
    assert lines[-2].split()[:7] == ["head", "avg", "pool", "all", "→", "linear", "16×112×112"]
    assert lines[-1].split() == ["total", "33,371,472", "40.697", "G"]


def test_a_markdown_table_has_a_cell_for_every_heading():
    text = res3d.describe(meta_backbone("resnet18_3d", freeze_at=1), (3, 8, 224, 224)).to_markdown()
    title, blank, *lines = text.splitlines()
    assert (title, blank) == ("**resnet18_3d on a clip of 3×8×224×224 (C×T×H×W)**", "")
    assert len(lines) == 2 + 5 + 1
    assert {line.count("|") for line in lines} == {9}
    assert lines[2] == "| stem | 1×7×7, 64 | 1×2×2 | 64×8×112×112 | 1×7×7 | 9,536 | 0.944 G | frozen |"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "keywords", "stage", "layers"),
    [
        ("i3d_r50", {}, 2, "max pool 2×1×1, ([3×1×1, 128 → 1×3×3, 128 → 1×1×1, 512], [1×1×1, 128 → "),
        ("i3d_r50", {}, 3, "([3×1×1, 256 → 1×3×3, 256 → 1×1×1, 1024], [1×1×1, 256 → 1×3×3, 256 → 1×1×1, 1024]) ×3"),
        ("csn_r101", {}, 4, "[1×1×1, 512 → 3×3×3, 512, depthwise → 1×1×1, 2048] ×3"),
        ("resnext50_32x4d_3d", {}, 4, "[1×1×1, 1024 → 3×3×3, 1024, 32 groups → 1×1×1, 2048] ×3"),
        ("r2plus1d_18", {}, 0, "3×7×7, 64, 2plus1d"),
        ("resnet18_3d", {"attention": "squeeze_excite"}, 2, "[3×3×3, 128 → 3×3×3, 128 → squeeze excite] ×2"),
        ("resnet18_3d", {"output_stride": 16}, 4, "[3×3×3, 512 → 3×3×3, 512, dilated 1×2×2] ×1, [3×3×3, 512, dilated"),
    ],
)
def test_layers_show_factors_groups_attention_and_dilation(name, keywords, stage, layers):
    table = res3d.describe(meta_backbone(name, **keywords), (3, 8, 64, 64))
    assert table.rows[stage].layers.startswith(layers)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", []),
        ("A", [("A", 1)]),
        ("AAB", [("A", 2), ("B", 1)]),
        ("AABABA", [("A", 2), ("BA", 2)]),
        ("ABABA", [("AB", 2), ("A", 1)]),
        ("AAAA", [("A", 4)]),
    ],
)
def test_repeated_labels_are_grouped(labels, expected):
    assert group_repeats(labels) == expected


def test_a_table_shows_the_windows_of_a_head_and_millions_for_small_networks():
    table = res3d.describe(meta_classifier("resnet18_sensor", 1000), (1, 1, 1, 1000))
    assert table.rows[-1].layers == "avg pool 1×1×4 → linear"
    assert table.rows[-1].parameters == 15_873_000
    assert "0.192 M" in str(table)
    with pytest.raises(
        ValueError, match=r"takes \(1, 1, 31\) \(T, H, W\) pooled positions, but this clip has \(1, 1, 15\)"
    ):
        res3d.describe(meta_classifier("resnet18_sensor", 1000), (1, 1, 1, 500))


def test_describe_does_not_change_the_model(thin):
    thin.train()
    thin.freeze(2)
    res3d.describe(thin, (3, 8, 64, 64))
    assert thin.frozen_stages == ("stem", "conv2")
    assert thin.training
    assert all(p.device.type == "cpu" for p in thin.parameters())


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ((3, 8, 64), r"clip must be \(C, T, H, W\), four whole numbers from 1 to 999999, not \(3, 8, 64\)"),
        ((3, 8, -1, 64), "clip must be"),
        ((3, 8.0, 64, 64), "clip must be"),
        ((3, 8, True, 64), "clip must be"),
        (None, "clip must be"),
        ((1, 8, 64, 64), "a clip must be float"),
    ],
)
def test_describe_refuses_an_invalid_clip(thin, clip, message):
    with pytest.raises(ValueError, match=message):
        res3d.describe(thin, clip)


@pytest.mark.parametrize("body", ["conv4", "conv5"])
@pytest.mark.parametrize("name", ["resnet18_3d", "resnet18_3d_bottleneck"])
def test_the_tables_in_the_docs_are_up_to_date(name, body):
    table = res3d.describe(meta_backbone(name, body=body, freeze_at=2), (3, 8, 224, 224))
    assert table.to_markdown() in (DOCS / "shapes.md").read_text(encoding="utf-8")
