"""Preparation of a run: checks of data and model against each other, before anything is trained."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from helpers.detectors import THIN
from helpers.runs import change_settings, detector_settings, run, sensor_settings
from PIL import Image

from res3d.clips import ClipSpec
from res3d.data import CATEGORIES, DATASETS, DatasetInfo, SyntheticVideo, synthetic_clips
from res3d.structures.formats import write_cocovid
from res3d.training import TrainingSettings
from res3d.training.plan import make_plan


def test_plan_has_the_steps_batches_and_rates_of_the_settings(tmp_path):
    plan = make_plan(sensor_settings(tmp_path / "run", epochs=5, warm_up=4, schedule="cosine", accumulate=2))
    assert (len(plan.data), len(plan.validation), plan.steps) == (24, 8, 15)
    assert (plan.sampler.steps_per_epoch, plan.sampler.part_size) == (3, 4)
    assert plan.rate_factor(0) == 0.25
    assert plan.rate_factor(15) == pytest.approx(0)
    assert make_plan(sensor_settings(tmp_path / "run", validate=None)).validation is None


def test_description_has_the_model_the_settings_and_the_number_of_clips(tmp_path):
    settings = sensor_settings(tmp_path / "run")
    description = make_plan(settings).description
    assert (description["kind"], description["clips"]) == ("classifier", 24)
    assert TrainingSettings(**description["settings"]) == settings
    assert "tiny_sensor" in str(description["model"])


def test_random_weights_depend_on_the_seed_only(tmp_path):
    def weights(seed: int) -> torch.Tensor:
        return make_plan(sensor_settings(tmp_path / "run", seed=seed)).task.model.fc.weight

    first = weights(0)
    torch.rand(1)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_model_is_frozen_as_in_the_first_epoch(tmp_path):
    plan = make_plan(sensor_settings(tmp_path / "run", freeze_at=2, unfreeze={1: 1}))
    assert plan.task.backbone.frozen_stages == ("stem", "conv2")


@pytest.fixture
def image_folders(tmp_path):
    """Two classes, each with one video of four images of 20×30."""
    for number, name in enumerate("ab"):
        (tmp_path / "clips" / name / "1").mkdir(parents=True)
        for n in range(4):
            Image.fromarray(np.full((20, 30, 3), 50 * number + n, np.uint8)).save(
                tmp_path / "clips" / name / "1" / f"{n}.png"
            )
    return str(tmp_path / "clips")


def classifier_of(image_folders, *, validate=None, **changes) -> torch.nn.Module:
    train = {"kind": "labelled", "source": image_folders, "length": 2, "step": 2, "side": 16}
    settings = TrainingSettings(
        model={"kind": "classifier", "backbone": str(THIN)},
        train=train,
        validate=None if validate is None else {**train, **validate},
        batch_size=2,
        **changes,
    )
    return make_plan(settings).task.model


def test_model_records_the_clip_spec_of_the_validation_data(image_folders):
    model = classifier_of(image_folders, validate={"crop": [12, 14]}, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    clip = ClipSpec(length=2, step=2, resize=16, crop=(12, 14), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert model.trained_on == clip
    assert model.categories == ("a", "b")


@pytest.mark.parametrize(("crop", "recorded"), [(None, None), ([12, 14], (12, 14)), ([24, 14], (16, 14))])
def test_model_records_the_training_crop_without_validation(image_folders, crop, recorded):
    """A random crop can be larger than the frame, which it pads; the crop of a clip spec cannot."""
    model = classifier_of(image_folders, augment={} if crop is None else {"crop": crop})
    assert model.trained_on == ClipSpec(length=2, step=2, resize=16, crop=recorded)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmptyClips:
    """A dataset without clips."""

    task: ClassVar[str] = "classifier"

    @property
    def info(self) -> DatasetInfo:
        return DatasetInfo(num_classes=2)

    def __len__(self) -> int:
        return 0

    def __getitem__(self, number: int):
        raise IndexError(number)

    def fingerprint(self) -> str:
        return ""


@pytest.mark.parametrize("name", ["train", "validate"])
def test_dataset_without_clips_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setitem(DATASETS, "empty", EmptyClips)
    with pytest.raises(ValueError, match=f"{name}: the dataset has no clips"):
        make_plan(sensor_settings(tmp_path / "run", **{name: {"kind": "empty"}}))


def test_classes_without_clips_are_refused(tmp_path):
    settings = sensor_settings(tmp_path / "run")
    settings = change_settings(settings, train={"num_classes": 5}, validate={"num_classes": 5})
    with pytest.raises(ValueError, match="train: no clip shows class 3, class 4; remove these classes or add clips"):
        run(settings)


@pytest.mark.parametrize("name", ["train", "validate"])
def test_targets_of_a_head_are_required_for_every_object(tmp_path, name):
    scene = SyntheticVideo(seed=4, num_frames=8, size=(48, 64), num_objects=3)
    scene.write(tmp_path / "scene.mp4")
    write_cocovid([scene.tracks("scene.mp4")], tmp_path / "tracks.json")
    complete = json.loads((tmp_path / "tracks.json").read_text())
    partial = json.loads((tmp_path / "tracks.json").read_text())
    for annotation in partial["annotations"][::2]:
        del annotation["segmentation"]
    (tmp_path / "partial.json").write_text(json.dumps(partial))
    data = {"kind": "tracked", "annotations": str(tmp_path / "tracks.json"), "videos": str(tmp_path), "length": 2}
    changes = {"train": data, "validate": data, name: {**data, "annotations": str(tmp_path / "partial.json")}}
    settings = detector_settings(tmp_path / "run", **changes)
    assert ("masks" in make_plan(settings).data[0][1]) == (name == "validate")
    settings = change_settings(settings, model={"mask": True})
    missing, count = len(partial["annotations"][::2]), len(complete["annotations"])
    message = f"{name}: the model has a head for masks, but the data have no masks: {missing} of {count} objects in .*"
    with pytest.raises(ValueError, match=message + "partial"):
        run(settings)
    settings = change_settings(settings, model={"mask": False, "keypoints": 4})
    message = r"train: keypoints have shape \[N T 5 3\] in the data, but \[N T 4 3\] in the model"
    with pytest.raises(ValueError, match=message):
        run(settings)


@pytest.mark.slow
def test_flip_pairs_are_found_by_name_or_required(tmp_path):
    clips = {"kind": "synthetic", "num_clips": 2, "length": 2, "side": 32}
    boxes = detector_settings(tmp_path / "run", validate=None, epochs=1, augment={"flip": 0.5}, train=clips)
    settings = change_settings(boxes, model={"keypoints": 5})
    _, lines = run(settings)
    assert "a flip swaps 1 pair of keypoints: left and right" in lines
    plan = make_plan(replace(settings, augment={"flip": 0.5, "pairs": [["top", "bottom"]]}))
    assert plan.flip_pairs == ((1, 3),)
    assert plan.augment.keywords == {"flip_pairs": ((1, 3),)}
    without_sides = tuple(replace(category, keypoints=tuple("abcde")) for category in CATEGORIES)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(synthetic_clips, "CATEGORIES", without_sides)
        with pytest.raises(ValueError, match=r"augment: no keypoint name contains left or right; set augment\.pairs"):
            make_plan(settings)
        assert make_plan(replace(settings, augment={"flip": 0.5, "pairs": []})).flip_pairs == ()
        assert make_plan(boxes).flip_pairs == ()
