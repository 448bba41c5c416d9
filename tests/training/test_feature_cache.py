import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import change_settings, detector_settings, losses, run, sensor_settings

from res3d.data import SensorWindows, SyntheticClips
from res3d.training import feature_cache
from res3d.training.datasets import AugmentedClips, Normalization, TrainingClips
from res3d.training.feature_cache import FeatureCache
from res3d.training.module import TrainingModule
from res3d.training.plan import make_plan


def cache_of(plan) -> FeatureCache:
    return feature_cache.open_cache(plan.settings, plan.task, plan.data, plan.description, log=print)


AUGMENT = {"scale": [0.8, 1.2], "crop": [32, 32], "flip": 0.5}


def files_of(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)).split("/", 1)[1] for path in cache.rglob("*.safetensors"))


def count_reads(monkeypatch, data) -> list[int]:
    reads: list[int] = []
    original = data.__getitem__
    monkeypatch.setattr(data, "__getitem__", lambda self, n: (reads.append(n), original(self, n))[1])
    return reads


@pytest.mark.parametrize("unfreeze", [{}, {2: 2}], ids=["frozen", "unfreezing"])
def test_a_detector_learns_from_the_cache_what_it_learns_without(tmp_path, monkeypatch, unfreeze):
    """With a pyramid, which needs the maps of conv2 too."""
    changes = {"freeze_at": 3, "unfreeze": unfreeze, "views": 2, "augment": AUGMENT, "epochs": 4, "validate": None}
    run(detector_settings(tmp_path / "plain", **changes))
    reads = count_reads(monkeypatch, SyntheticClips)
    run(detector_settings(tmp_path / "kept", cache=str(tmp_path / "cache"), **changes))
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert files_of(tmp_path / "cache") == [f"{view}/0/{n}.safetensors" for view in range(2) for n in range(8)]
    assert len(reads) == 2 * 8, "each view is loaded once"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_classifier_does_too_and_a_later_run_takes_what_is_there(tmp_path, monkeypatch, workers):
    changes = {"freeze_at": 2, "views": 1, "epochs": 3, "workers": workers}
    run(sensor_settings(tmp_path / "plain", **changes))
    run(sensor_settings(tmp_path / "kept", cache=str(tmp_path / "cache"), **changes))
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert len(files_of(tmp_path / "cache")) == 24
    reads = count_reads(monkeypatch, SensorWindows)
    run(sensor_settings(tmp_path / "again", cache=str(tmp_path / "cache"), **{**changes, "validate": None}))
    assert losses(tmp_path / "again") == losses(tmp_path / "kept")
    assert reads == []


def test_the_cache_is_bounded_and_says_so_once(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 2, "validate": None}
    run(sensor_settings(tmp_path / "whole", **changes))
    whole = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.safetensors"))
    bounded = {**changes, "cache": str(tmp_path / "small"), "cache_gigabytes": whole / 2e9}
    _, lines = run(sensor_settings(tmp_path / "bounded", **bounded))
    assert [line for line in lines if "full" in line] == [
        f"{tmp_path / 'small'}: the cache is full; clips that it does not hold are computed every time"
    ]
    held = files_of(tmp_path / "small")
    assert 6 <= len(held) < 24
    assert sum(path.stat().st_size for path in (tmp_path / "small").rglob("*.safetensors")) <= whole
    assert losses(tmp_path / "bounded") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)


def test_what_decides_the_maps_decides_the_folder(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 1, "validate": None}
    model = {"kind": "classifier", "backbone": str(tmp_path / "sensor.yaml")}
    for number, more in enumerate(
        [{}, {"learning_rate": 0.5}, {"seed": 1}, {"mean": [0.1, 0.1]}, {"model": {**model, "width": 2}}, {"views": 2}]
    ):
        run(sensor_settings(tmp_path / str(number), **{**changes, **more}))
    assert len(list((tmp_path / "cache").iterdir())) == 5, "the rate alone changes nothing"


def test_a_cache_goes_with_bfloat16_and_accumulated_parts(tmp_path):
    changes = {"freeze_at": 2, "views": 2, "precision": "bf16", "accumulate": 2, "validate": None}
    run(sensor_settings(tmp_path / "plain", **changes))
    run(sensor_settings(tmp_path / "kept", cache=str(tmp_path / "cache"), **changes))
    assert losses(tmp_path / "kept") == losses(tmp_path / "plain")


def test_a_run_with_a_cache_that_was_killed_ends_where_another_does(tmp_path, monkeypatch):
    changes = {"freeze_at": 3, "unfreeze": {1: 2}, "views": 2, "epochs": 3, "checkpoint_every": 1, "validate": None}
    changes["augment"] = AUGMENT
    run(detector_settings(tmp_path / "whole", cache=str(tmp_path / "one"), **changes))
    original = TrainingModule.training_step

    def failing(self, batch, batch_idx):
        if self.global_step == 6:
            raise KeyError("killed")
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", failing)
        with pytest.raises(KeyError, match="killed"):
            run(detector_settings(tmp_path / "killed", cache=str(tmp_path / "two"), **changes))
    _, lines = run(detector_settings(tmp_path / "killed", cache=str(tmp_path / "two"), **changes))
    assert any("after 6 of 12 steps" in line for line in lines)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


@pytest.mark.parametrize("name", ["labels", "windows"])
def test_data_that_were_rewritten_are_not_taken_from_the_cache(tmp_path, name):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 1, "validate": None}
    run(sensor_settings(tmp_path / "before", **changes))
    settings = sensor_settings(tmp_path / "after", **changes)
    path = tmp_path / f"{name}.npy"
    np.save(path, np.roll(np.load(path), 1, axis=0))
    run(settings)
    run(replace(settings, out=str(tmp_path / "plain"), cache=None))
    assert losses(tmp_path / "after") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert losses(tmp_path / "after") != pytest.approx(losses(tmp_path / "before"), rel=1e-4)


def test_a_full_disk_is_said_and_loses_no_checkpoint(tmp_path, monkeypatch):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "checkpoint_every": 1, "epochs": 1}
    original, written = feature_cache.save_file, []

    def full(tensors, path):
        if len(written) == 16:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        written.append(path)
        original(tensors, path)

    monkeypatch.setattr(feature_cache, "save_file", full)
    with pytest.raises(OSError, match=r"the cache cannot be written \(No space left on device\); a smaller cache_giga"):
        run(sensor_settings(tmp_path / "run", **changes))
    assert not list((tmp_path / "cache").rglob(".*")), "nothing unfinished is left"
    monkeypatch.undo()
    _, lines = run(sensor_settings(tmp_path / "run", **changes))
    assert any("after 2 of 3 steps" in line for line in lines)


def test_processes_share_out_the_room_that_is_left(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "validate": None}
    run(sensor_settings(tmp_path / "run", **changes, epochs=1))
    held = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.safetensors"))
    (tmp_path / "cache" / "weights.safetensors").write_bytes(b"0" * 10**6)
    (tmp_path / "cache" / "runs" / "a" / "b").mkdir(parents=True)
    (tmp_path / "cache" / "runs" / "a" / "b" / "best.safetensors").write_bytes(b"0" * 10**6)
    settings = sensor_settings(tmp_path / "two", **changes, cache_gigabytes=(held + 1000) / 1e9, devices=2)
    assert cache_of(make_plan(settings)).budget in (499, 500), "nobody else's files count"
    assert cache_of(make_plan(replace(settings, cache_gigabytes=1e-6))).budget == 0


def test_what_killed_runs_left_unfinished_is_removed(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "validate": None}
    run(sensor_settings(tmp_path / "run", **changes, epochs=1))
    folder = next((tmp_path / "cache").rglob("7.safetensors")).parent
    old, new = folder / ".7.safetensors.1.unfinished", folder / ".8.safetensors.2.unfinished"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    cache_of(make_plan(sensor_settings(tmp_path / "next", **changes)))
    assert not old.exists()
    assert new.exists(), "somebody may be writing it"


@pytest.mark.parametrize("settings_of", [sensor_settings, detector_settings])
def test_kept_maps_go_to_workers_that_are_started_afresh(tmp_path, settings_of):
    settings = settings_of(tmp_path / "run", freeze_at=2, views=1, cache=str(tmp_path / "cache"), epochs=1)
    run(settings)
    plan = make_plan(settings)
    files = cache_of(plan).files
    clips = AugmentedClips(plan.data, plan.augment, Normalization(), 0)
    found = pickle.loads(pickle.dumps(TrainingClips(clips, files)))
    assert found[0, 0].maps is not None


def test_a_damaged_file_is_named(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 1, "validate": None}
    run(sensor_settings(tmp_path / "one", **changes))
    path = next((tmp_path / "cache").rglob("7.safetensors"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"7\.safetensors: a damaged file of the cache"):
        run(sensor_settings(tmp_path / "two", **changes))


def test_what_a_cache_needs_is_said(tmp_path):
    cache = {"cache": str(tmp_path / "cache")}
    for changes in ({"views": 1}, {"freeze_at": 2}, {"views": 1, "freeze_at": 2, "unfreeze": {1: 0}}):
        with pytest.raises(ValueError, match=r"cache needs stages that stay frozen .* and a number of views"):
            sensor_settings(tmp_path / "run", **cache, **changes)
    settings = detector_settings(tmp_path / "run", views=1, freeze_at=2, **cache)
    settings = change_settings(settings, model={"min_size": (24, 32), "max_size": 64})
    with pytest.raises(ValueError, match=r"model\.min_size must be a number, not \(24, 32\)"):
        run(settings)
