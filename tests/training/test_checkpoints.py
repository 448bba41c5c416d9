import resource
import tempfile

import pytest
import pytorch_lightning as pl
import torch
from helpers.runs import run, sensor_settings

from res3d.training.checkpoints import Checkpoints, DirectCheckpointIO


def test_checkpoint_that_cannot_be_written_leaves_the_previous_one(tmp_path, monkeypatch):
    changes = {"checkpoint_every": 1, "epochs": 1}
    original = pl.Trainer.save_checkpoint

    def save_until_full(self, path, **more):
        if self.global_step == 2:
            path.write_bytes(b"partial")
            raise OSError(28, "No space left on device")
        original(self, path, **more)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", save_until_full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\); the previous one remains"):
        run(sensor_settings(tmp_path / "run", **changes))
    assert not list((tmp_path / "run").glob(".last*"))
    monkeypatch.undo()
    _, lines = run(sensor_settings(tmp_path / "run", **changes))
    assert any("after 1 of 3 steps" in line for line in lines)


def test_checkpoint_is_written_without_temporary_files(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a file in the temporary folder")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    run(sensor_settings(tmp_path / "run", epochs=1, validate=None))


def test_full_disk_raises_oserror(tmp_path):
    """A limit of the file size simulates a full disk; Python ignores the signal SIGXFSZ."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            DirectCheckpointIO().save_checkpoint({"weights": torch.zeros(10**5)}, tmp_path / "x.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_checkpoints_are_written_every_n_steps_and_after_epochs(tmp_path, monkeypatch):
    steps = []
    original = Checkpoints._save
    monkeypatch.setattr(Checkpoints, "_save", lambda self, t: (steps.append(t.global_step), original(self, t))[1])
    run(sensor_settings(tmp_path / "run", checkpoint_every=2, validate=None))
    assert steps == [2, 3, 4, 6, 8, 9], "every second step, and the end of each epoch of three steps"
