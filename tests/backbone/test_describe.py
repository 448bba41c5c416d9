import pytest

import res3d

# Multiply-adds in 1e9 as torchvision publishes them (weights.meta["_ops"]) at 16×112×112 with 400 classes, and for the
# Detect-and-Track bodies as counted from its definition at 8×224×224.
CLASSIFIERS = {"r3d_18": 40.697, "mc3_18": 43.343, "r2plus1d_18": 40.519}
# PyTorchVideo publishes its own at 256 pixels, with norms and pools counted in all but Slow's; convolutions and the
# linear layer alone come to at most 2.5 % less.
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


@pytest.mark.parametrize(("name", "expected"), CLASSIFIERS.items())
def test_classifiers_have_the_published_multiply_adds(name, expected):
    table = res3d.describe(res3d.create_classifier(name, 400), (3, 16, 112, 112))
    assert round(table.multiply_adds / 1e9, 3) == expected


@pytest.mark.parametrize(("name", "frames", "published"), [(n, *row) for n, row in PYTORCHVIDEO.items()])
def test_pytorchvideos_networks_are_within_what_norms_and_pools_add(name, frames, published):
    table = res3d.describe(res3d.create_classifier(name, 400), (3, frames, 256, 256))
    assert 0.975 * published <= table.multiply_adds / 1e9 <= published + 0.005


@pytest.mark.parametrize(("name", "expected"), BODIES.items())
def test_bodies_have_the_multiply_adds_counted_from_their_definition(name, expected):
    table = res3d.describe(res3d.create_backbone(name), (3, 8, 224, 224))
    assert round(table.multiply_adds / 1e9, 2) == expected


@pytest.mark.parametrize(("name", "expected"), STRIDE_ON_1X1.items())
def test_strides_on_the_1x1_save_multiply_adds(name, expected):
    table = res3d.describe(res3d.create_backbone(name, stride_on="1x1"), (3, 8, 224, 224))
    assert round(table.multiply_adds / 1e9, 2) == expected


def test_a_table_shows_every_stage():
    model = res3d.create_classifier("r3d_18", 400, freeze_at=2)
    table = res3d.describe(model, (3, 16, 112, 112))
    assert [row.name for row in table.rows] == ["stem", "conv2", "conv3", "conv4", "conv5", "head"]
    assert [row.frozen for row in table.rows] == [True, True, False, False, False, False]
    assert table.rows[2].shape == (128, 8, 28, 28)
    assert table.parameters == 33_371_472
    lines = str(table).splitlines()
    assert lines[0] == "r3d_18 on a clip of 3×16×112×112 (C×T×H×W)"
    assert lines[2].split() == ["stem", "64×16×56×56", "28,352", "1.416", "G", "frozen"]
    assert lines[-1].split() == ["total", "33,371,472", "40.697", "G"]


def test_describing_leaves_the_model_alone(thin):
    thin.train()
    thin.freeze(2)
    res3d.describe(thin, (3, 8, 64, 64))
    assert thin.frozen_stages == ("stem", "conv2")
    assert thin.training
    assert all(p.device.type == "cpu" for p in thin.parameters())


@pytest.mark.parametrize(
    ("clip", "message"),
    [((3, 8, 64), r"clip must be \(C, T, H, W\), not \(3, 8, 64\)"), ((1, 8, 64, 64), "a clip must be float")],
)
def test_a_wrong_clip_is_refused(thin, clip, message):
    with pytest.raises(ValueError, match=message):
        res3d.describe(thin, clip)
