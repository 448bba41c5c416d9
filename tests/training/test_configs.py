"""Every training recipe in ``configs/`` can be read, and its model can be built. The user's data are replaced."""

from pathlib import Path

import pytest
import torch
import yaml
from helpers.paths import ROOT
from helpers.runs import change_settings

import res3d
from res3d.cli.command import read_command
from res3d.cli.train import TrainCommand
from res3d.data import DatasetInfo, mirror_pairs
from res3d.data.dataset_info import name_categories
from res3d.structures import COCO_KEYPOINTS, Category
from res3d.training import TrainingSettings
from res3d.training.parameter_groups import build_optimizer
from res3d.training.plan import build_task

CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.yaml") if "epochs:" in path.read_text())
MODELS = {"detector": res3d.detection.MaskRCNN3d, "classifier": res3d.ClipClassifier}


def settings_of(path: Path) -> TrainingSettings:
    """Return the settings as ``res3d train`` reads them."""
    return read_command(TrainCommand, "res3d train", ["--config", str(path)]).settings


def info_of(settings: TrainingSettings) -> DatasetInfo:
    keypoints = settings.model.arguments.get("keypoints") or 0
    if settings.model.tag == "detector":
        return DatasetInfo(num_classes=2, categories=(Category(name="x", keypoints=COCO_KEYPOINTS[:keypoints]),))
    return DatasetInfo(num_classes=3, categories=name_categories("abc"))


def test_training_recipes_are_complete():
    assert {path.stem for path in CONFIGS} >= {
        "cifar10",
        "clips_exchanged_parts",
        "clips_r3d_18",
        "clips_resnet50v2",
        "demo_sprites",
        "detect_and_track_r18_c4",
        "detect_r18_fpn",
        "flies_r18_fpn",
        "sensor_windows",
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipe_builds_its_model(path, monkeypatch):
    monkeypatch.chdir(ROOT)  # paths of specs are relative to it
    settings = change_settings(settings_of(path), model={"weights": None, "weights_backbone": None})  # avoid downloads
    with torch.device("meta"):
        task = build_task(settings, info_of(settings))
        optimizer = build_optimizer(task, settings)
    assert isinstance(task.model, MODELS[settings.model.tag])
    assert len(task.backbone.frozen_stages) == settings.freeze_at
    assert all(group["lr"] > 0 for group in optimizer.param_groups)
    if settings.augment.flip and settings.model.arguments.get("keypoints"):
        assert mirror_pairs(info_of(settings).categories, settings.augment.pairs)


def test_detect_and_track_recipe_follows_the_paper():
    """Frozen stem, conv2 and norms, clips of three small frames, and 1/8 of the learning rate 0.001 of 8 GPUs."""
    data = yaml.safe_load((ROOT / "configs" / "detect_and_track_r18_c4.yaml").read_text())
    assert (data["freeze_at"], data["model"]["norm"], data["model"]["neck"]) == (2, "frozen_batch", "c4")
    assert float(data["learning_rate"]) == 0.001 / 8
    assert data["train"]["length"] == 3
    assert (data["model"]["min_size"], data["model"]["max_size"]) == ([128, 196, 256], 333)
