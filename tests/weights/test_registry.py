"""Registered weights: the entries, and the listing of their names."""

import re

import pytest

import res3d
from res3d.weights import find_weights, list_weights

ENTRIES = list(list_weights().values())

# Published top-1 / top-5: torchvision's model pages and PyTorchVideo's model zoo.
PUBLISHED = {
    "torchvision/r3d_18.kinetics400": (63.20, 83.479),
    "torchvision/mc3_18.kinetics400": (63.96, 84.13),
    "torchvision/r2plus1d_18.kinetics400": (67.463, 86.175),
    "torchvision/resnet18.imagenet1k": (69.758, 89.078),
    "torchvision/resnet50.imagenet1k": (76.13, 92.862),
    "torchvision/resnet50.imagenet1k_v2": (80.858, 95.434),
    "pytorchvideo/c2d_r50.kinetics400": (71.46, 89.68),
    "pytorchvideo/i3d_r50.kinetics400": (73.27, 90.70),
    "pytorchvideo/slow_r50.kinetics400": (74.58, 91.63),
    "pytorchvideo/r2plus1d_r50.kinetics400": (76.01, 92.23),
    "pytorchvideo/csn_r101.kinetics400": (77.00, 92.90),
}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_every_entry_is_complete_and_its_model_exists(entry):
    assert re.fullmatch(r"(torchvision|pytorchvideo)/\w+\.[a-z0-9]+(_v2|_v3|_legacy)?", entry.name)
    assert entry.model in res3d.list_backbones()
    assert entry.url.startswith("https://")
    assert entry.categories is not None
    if entry.task == "detection":
        assert len(entry.categories) == (2 if "keypoint" in entry.name else 91)
        assert all(30 < value < 70 for value in entry.accuracy.values())
    else:
        assert len(entry.categories) == {"Kinetics-400": 400, "ImageNet-1K": 1000}[entry.dataset]
        assert 50 < entry.accuracy["top1"] < entry.accuracy["top5"] < 100
    assert entry.licence
    if entry.name.startswith("torchvision"):
        assert re.fullmatch(r"[0-9a-f]{8}", entry.sha256)
    assert entry.preprocessing["crop"] == entry.clip.crop


@pytest.mark.parametrize(("name", "accuracy"), PUBLISHED.items())
def test_accuracies_equal_the_published_ones(name, accuracy):
    entry = find_weights(name)
    assert (entry.accuracy["top1"], entry.accuracy["top5"]) == pytest.approx(accuracy, abs=0.01)


def test_entries_have_the_clip_specs_of_training():
    entry = find_weights("torchvision/r3d_18.kinetics400")
    assert entry.clip.preprocessing == res3d.video.KINETICS
    assert (entry.clip.length, entry.clip.fps) == (16, 15.0)
    assert entry.preprocessing["resize"] == (128, 171)
    assert entry.preprocessing["clip_length"] == 16
    slow = find_weights("pytorchvideo/slow_r50.kinetics400")
    clip = slow.clip
    assert (clip.length, clip.step, clip.crop, clip.mean) == (8, 8, (256, 256), (0.45, 0.45, 0.45))


def test_names_are_listed_by_pattern_and_an_unknown_name_is_refused():
    assert list(res3d.list_weights("pytorchvideo/c*")) == [
        "pytorchvideo/c2d_r50.kinetics400",
        "pytorchvideo/csn_r101.kinetics400",
    ]
    with pytest.raises(
        ValueError, match=r"registered as 'torchvision/r3d_18'; did you mean 'torchvision/r3d_18.kinetics400'\?"
    ):
        find_weights("torchvision/r3d_18")
