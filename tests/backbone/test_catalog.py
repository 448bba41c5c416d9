import pickle

import pytest
import torch

import res3d
from res3d.backbone import CATALOG, BackboneSpec, ResNet3d, count_parameters

# Body parameters, counted from Detect-and-Track's definition (docs/backbones.md has them too).
# Classifiers with 400 classes: torchvision's published counts.
BODIES = {
    "resnet18_3d": 32_852_544,
    "resnet34_3d": 63_014_720,
    "resnet50_3d": 45_921_344,
    "resnet101_3d": 84_967_488,
    "resnet152_3d": 117_126_208,
    "resnet18_3d_bottleneck": 26_332_480,
}
CONV4_BODIES = {"resnet18_3d": 7_943_744, "resnet34_3d": 23_948_096, "resnet50_3d": 16_800_832}
CLASSIFIERS = {
    "r3d_18": 33_371_472,
    "mc3_18": 11_695_440,
    "r2plus1d_18": 31_505_325,
    # PyTorchVideo's model zoo publishes them in millions: 24.33, 28.04, 32.45, 28.11, 22.21.
    "c2d_r50": 24_327_632,
    "i3d_r50": 28_043_472,
    "slow_r50": 32_454_096,
    "r2plus1d_r50": 28_107_600,
    "csn_r101": 22_213_776,
    # 3D-ResNets: counted in networks that its code builds, with 400 classes.
    "hara_resnet10": 14_604_624,
    "hara_resnet18": 33_409_104,
    "hara_resnet34": 63_718_736,
    "hara_resnet50": 47_018_576,
    "hara_resnet101": 86_064_720,
    "hara_resnet152": 118_223_440,
    "hara_resnet200": 127_423_056,
}
HARA_TYPE_A = {
    10: 14_430_800,
    18: 33_235_280,
    34: 63_544_912,
    50: 44_242_000,
    101: 83_288_144,
    152: 115_446_864,
    200: 124_646_480,
}


def meta_backbone(name: str, **keywords) -> ResNet3d:
    with torch.device("meta"):
        return res3d.create_backbone(name, **keywords)


@pytest.mark.parametrize(("name", "expected"), BODIES.items())
def test_bodies_have_the_published_number_of_parameters(name, expected):
    assert count_parameters(meta_backbone(name)) == expected


@pytest.mark.parametrize(("name", "expected"), CONV4_BODIES.items())
def test_bodies_that_end_at_conv4_have_the_published_number_of_parameters(name, expected):
    assert count_parameters(meta_backbone(name, body="conv4")) == expected


def test_the_2d_twin_of_resnet18_has_the_parameters_of_the_2d_resnet18():
    assert count_parameters(meta_backbone("resnet18_3d", temporal_kernel=1)) == 11_176_512


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), CLASSIFIERS.items())
def test_classifiers_have_the_published_number_of_parameters(name, expected):
    with torch.device("meta"):
        assert count_parameters(res3d.create_classifier(name, 400)) == expected


@pytest.mark.parametrize(("depth", "expected"), HARA_TYPE_A.items())
def test_classifiers_with_type_a_shortcuts_have_the_published_number_of_parameters(depth, expected):
    with torch.device("meta"):
        assert count_parameters(res3d.create_classifier(f"hara_resnet{depth}", 400, shortcut="pool_pad")) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_a_frozen_norm_counts_as_many_parameters_as_a_trainable_one(name):
    frozen, trainable = (res3d.create_backbone(name, width=0.125, norm=norm) for norm in ("frozen_batch", "batch"))
    assert count_parameters(frozen) == count_parameters(trainable)


@pytest.mark.parametrize("name", CATALOG)
def test_every_name_is_a_function_of_the_package(name):
    function = getattr(res3d, name)
    assert function.__name__ == name
    assert function is getattr(res3d, name)
    assert name in dir(res3d)
    assert pickle.loads(pickle.dumps(function)) is function
    assert function(body="conv4", freeze_at=1, width=0.125).spec.name == name


@pytest.mark.parametrize("name", CATALOG)
def test_every_spec_is_equal_after_writing_and_reading_yaml(name):
    assert BackboneSpec.from_yaml(CATALOG[name].to_yaml()) == CATALOG[name]


def test_names_are_listed_by_pattern():
    assert res3d.list_backbones("r?d_18") == ["r3d_18"]
    assert res3d.list_backbones("nothing*") == []
    assert set(BODIES) | set(CLASSIFIERS) <= set(res3d.list_backbones())


def test_the_error_for_an_unknown_name_suggests_the_nearest_name():
    with pytest.raises(ValueError, match=r"no backbone is called 'resnet18'; did you mean 'resnet18_3d'\?"):
        res3d.create_backbone("resnet18")
    with pytest.raises(AttributeError, match="no attribute 'resnet19_3d'"):
        res3d.resnet19_3d  # noqa: B018
