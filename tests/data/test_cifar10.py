import pickle

import pytest
import torch
from helpers.cifar10 import write_cifar10
from torchvision.datasets import CIFAR10

from res3d.data import Cifar10Clips


def test_images_are_clips_of_one_frame(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch)
    train, test = Cifar10Clips(folder=str(tmp_path)), Cifar10Clips(folder=str(tmp_path), part="test")
    assert (len(train), len(test)) == (20, 10)
    clip, label = train[13]
    assert (tuple(clip.shape), clip.dtype, label) == ((3, 1, 32, 32), torch.float32, 3)
    assert 25 * 3 <= clip.mean() * 255 <= 25 * 4
    assert [c.name for c in train.info.categories][3] == "cat"
    assert train.info.num_classes == 10
    assert Cifar10Clips(folder=str(tmp_path), side=40)[0][0].shape == (3, 1, 40, 40)


def test_info_lists_classes_without_images(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch, train=8)
    assert Cifar10Clips(folder=str(tmp_path)).info.empty == ("ship", "truck")


class MaliciousPickle:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_files_with_wrong_checksums_are_never_unpickled(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch)
    batch = tmp_path / CIFAR10.base_folder / "data_batch_1"
    batch.write_bytes(pickle.dumps(MaliciousPickle(tmp_path / "planted")))
    with pytest.raises(
        FileNotFoundError, match="cifar-10-batches-py is missing, or its files have the wrong MD5 checksums"
    ):
        Cifar10Clips(folder=str(tmp_path))
    assert not (tmp_path / "planted").exists()


def test_missing_folder_and_wrong_side_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CIFAR10\('.*', download=True\) downloads them"):
        Cifar10Clips(folder=str(tmp_path))
    with pytest.raises(ValueError, match="side must be ≥ 1 pixel, not 0"):
        Cifar10Clips(folder=str(tmp_path), side=0)
