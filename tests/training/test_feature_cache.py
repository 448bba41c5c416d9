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

AUGMENT = {"scale": [0.8, 1.2], "crop": [32, 32], "flip": 0.5}
CLIPS = {"kind": "synthetic", "num_clips": 4, "length": 2, "side": 32}


def open_cache(plan) -> FeatureCache:
    return feature_cache.open_cache(plan.settings, plan.task, plan.data, plan.description, log=print)


def cached_files(cache: Path) -> list[str]:
    """Return the paths of the files in a cache, relative to the folder of the run."""
    return sorted(str(path.relative_to(cache)).split("/", 1)[1] for path in cache.rglob("*.safetensors"))


def record_reads(monkeypatch, data) -> list[int]:
    """Return a list to which every read of a dataset appends the number of the clip."""
    reads: list[int] = []
    original = data.__getitem__
    monkeypatch.setattr(data, "__getitem__", lambda self, n: (reads.append(n), original(self, n))[1])
    return reads


@pytest.mark.slow
@pytest.mark.parametrize("unfreeze", [{}, {2: 2}], ids=["frozen", "unfreezing"])
def test_detector_learns_the_same_with_and_without_a_cache(tmp_path, monkeypatch, unfreeze):
    """The feature pyramid needs the maps of conv2 in addition to those of the last frozen stage."""
    changes = {"freeze_at": 3, "unfreeze": unfreeze, "views": 2, "augment": AUGMENT, "epochs": 4, "validate": None}
    changes["train"] = CLIPS
    run(detector_settings(tmp_path / "plain", **changes))
    reads = record_reads(monkeypatch, SyntheticClips)
    run(detector_settings(tmp_path / "cached", cache=str(tmp_path / "cache"), **changes))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert cached_files(tmp_path / "cache") == [f"{view}/0/{n}.safetensors" for view in range(2) for n in range(4)]
    assert len(reads) == 2 * 4, "each view is loaded once"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_classifier_learns_the_same_with_a_new_and_an_existing_cache(tmp_path, monkeypatch, workers):
    changes = {"freeze_at": 2, "views": 1, "epochs": 2, "validate": None}
    cached = {**changes, "cache": str(tmp_path / "cache"), "workers": workers}
    run(sensor_settings(tmp_path / "plain", **changes))
    run(sensor_settings(tmp_path / "cached", **cached))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert len(cached_files(tmp_path / "cache")) == 24
    reads = record_reads(monkeypatch, SensorWindows)
    run(sensor_settings(tmp_path / "later", **cached))
    assert losses(tmp_path / "later") == losses(tmp_path / "cached")
    assert reads == []


def test_cache_stops_growing_at_its_limit_and_logs_it_once(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 2, "validate": None}
    run(sensor_settings(tmp_path / "unlimited", **changes))
    size = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.safetensors"))
    limited = {**changes, "cache": str(tmp_path / "small"), "cache_gigabytes": size / 2e9}
    _, lines = run(sensor_settings(tmp_path / "limited", **limited))
    assert [line for line in lines if "full" in line] == [
        f"{tmp_path / 'small'}: the cache is full; feature maps of further clips are computed at every access"
    ]
    assert 6 <= len(cached_files(tmp_path / "small")) < 24
    assert sum(path.stat().st_size for path in (tmp_path / "small").rglob("*.safetensors")) <= size
    assert losses(tmp_path / "limited") == pytest.approx(losses(tmp_path / "unlimited"), rel=1e-5)


def test_cache_folder_depends_on_the_settings_of_its_content(tmp_path):
    def folder_of(**more) -> Path:
        settings = sensor_settings(tmp_path / "run", freeze_at=2, cache=str(tmp_path / "cache"), **{"views": 1, **more})
        return open_cache(make_plan(settings)).files.folder

    model = {"kind": "classifier", "backbone": str(tmp_path / "sensor.yaml")}
    others = [{"seed": 1}, {"mean": [0.1, 0.1]}, {"model": {**model, "width": 2}}, {"views": 2}]
    folders = {folder_of(), *(folder_of(**more) for more in others)}
    assert len(folders) == 5
    assert folder_of(learning_rate=0.5) == folder_of(), "the learning rate does not influence the maps"
    assert {folder.parent for folder in folders} == {tmp_path / "cache"}


def test_cache_works_with_bfloat16_and_accumulated_parts(tmp_path):
    changes = {"freeze_at": 2, "views": 2, "precision": "bf16", "accumulate": 2, "validate": None}
    run(sensor_settings(tmp_path / "plain", **changes))
    run(sensor_settings(tmp_path / "cached", cache=str(tmp_path / "cache"), **changes))
    assert losses(tmp_path / "cached") == losses(tmp_path / "plain")


@pytest.mark.slow
def test_killed_run_with_a_cache_resumes_to_the_same_losses(tmp_path, monkeypatch):
    changes = {"freeze_at": 3, "unfreeze": {1: 2}, "views": 2, "epochs": 3, "checkpoint_every": 1, "validate": None}
    changes |= {"augment": AUGMENT, "train": CLIPS}
    run(detector_settings(tmp_path / "uninterrupted", cache=str(tmp_path / "cache"), **changes))
    original = TrainingModule.training_step

    def fail_in_step_3(self, batch, batch_idx):
        if self.global_step == 3:
            raise KeyError("killed")
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", fail_in_step_3)
        with pytest.raises(KeyError, match="killed"):
            run(detector_settings(tmp_path / "killed", cache=str(tmp_path / "other"), **changes))
    _, lines = run(detector_settings(tmp_path / "killed", cache=str(tmp_path / "other"), **changes))
    assert any("after 3 of 6 steps" in line for line in lines)
    assert losses(tmp_path / "killed") == losses(tmp_path / "uninterrupted")


@pytest.mark.parametrize("name", ["labels", "windows"])
def test_cache_of_changed_data_is_not_used(tmp_path, name):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 1, "validate": None}
    run(sensor_settings(tmp_path / "before", **changes))
    settings = sensor_settings(tmp_path / "after", **changes)
    path = tmp_path / f"{name}.npy"
    np.save(path, np.roll(np.load(path), 1, axis=0))
    run(settings)
    run(replace(settings, out=str(tmp_path / "plain"), cache=None))
    assert losses(tmp_path / "after") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert losses(tmp_path / "after") != pytest.approx(losses(tmp_path / "before"), rel=1e-4)


def test_full_disk_raises_and_loses_no_checkpoint(tmp_path, monkeypatch):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "checkpoint_every": 1, "epochs": 1}
    original, written = feature_cache.save_file, []

    def save_until_full(tensors, path):
        if len(written) == 16:
            path.write_bytes(b"partial")
            raise OSError(28, "No space left on device")
        written.append(path)
        original(tensors, path)

    monkeypatch.setattr(feature_cache, "save_file", save_until_full)
    with pytest.raises(OSError, match=r"the cache cannot be written \(No space left on device\); a smaller cache_giga"):
        run(sensor_settings(tmp_path / "run", **changes))
    assert not list((tmp_path / "cache").rglob(".*")), "no unfinished file remains"
    monkeypatch.undo()
    _, lines = run(sensor_settings(tmp_path / "run", **changes))
    assert any("after 2 of 3 steps" in line for line in lines)


def test_processes_share_the_remaining_budget(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "validate": None}
    run(sensor_settings(tmp_path / "run", **changes, epochs=1))
    used = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.safetensors"))
    (tmp_path / "cache" / "weights.safetensors").write_bytes(b"0" * 10**6)
    (tmp_path / "cache" / "runs" / "a" / "b").mkdir(parents=True)
    (tmp_path / "cache" / "runs" / "a" / "b" / "best.safetensors").write_bytes(b"0" * 10**6)
    settings = sensor_settings(tmp_path / "two", **changes, cache_gigabytes=(used + 1000) / 1e9, devices=2)
    assert open_cache(make_plan(settings)).budget in (499, 500), "files outside the caches do not count"
    assert open_cache(make_plan(replace(settings, cache_gigabytes=1e-6))).budget == 0


def test_abandoned_unfinished_files_are_removed(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "validate": None}
    run(sensor_settings(tmp_path / "run", **changes, epochs=1))
    folder = next((tmp_path / "cache").rglob("7.safetensors")).parent
    old, new = folder / ".7.safetensors.1.unfinished", folder / ".8.safetensors.2.unfinished"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    open_cache(make_plan(sensor_settings(tmp_path / "next", **changes)))
    assert not old.exists()
    assert new.exists(), "another process may be writing it"


@pytest.mark.parametrize("settings_of", [sensor_settings, detector_settings])
def test_pickled_training_clips_read_cached_maps(tmp_path, settings_of):
    """Workers with the start methods spawn and forkserver get a pickled dataset."""
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 1, "validate": None}
    settings = settings_of(tmp_path / "run", **changes)
    run(settings)
    plan = make_plan(settings)
    files = open_cache(plan).files
    clips = AugmentedClips(plan.data, plan.augment, Normalization(), 0)
    restored = pickle.loads(pickle.dumps(TrainingClips(clips, files)))
    assert restored[0, 0].maps is not None


def test_damaged_cache_file_is_refused(tmp_path):
    changes = {"freeze_at": 2, "views": 1, "cache": str(tmp_path / "cache"), "epochs": 1, "validate": None}
    run(sensor_settings(tmp_path / "one", **changes))
    path = next((tmp_path / "cache").rglob("7.safetensors"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"7\.safetensors: the cache file is damaged"):
        run(sensor_settings(tmp_path / "two", **changes))


def test_cache_without_frozen_stages_views_or_one_frame_size_is_refused(tmp_path):
    cache = {"cache": str(tmp_path / "cache")}
    for changes in ({"views": 1}, {"freeze_at": 2}, {"views": 1, "freeze_at": 2, "unfreeze": {1: 0}}):
        with pytest.raises(ValueError, match=r"cache needs stages that are frozen in all epochs .* and a number of vi"):
            sensor_settings(tmp_path / "run", **cache, **changes)
    settings = detector_settings(tmp_path / "run", views=1, freeze_at=2, **cache)
    settings = change_settings(settings, model={"min_size": (24, 32), "max_size": 64})
    with pytest.raises(ValueError, match=r"model\.min_size must be a number, not \(24, 32\)"):
        run(settings)
