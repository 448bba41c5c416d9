import pytest
import torch

from res3d.cli.computing import find_device, machine_line
from res3d.cli.errors import UsageError


def test_find_device_accepts_gpu_and_auto(monkeypatch):
    devices = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: devices.append(device))
    assert find_device("gpu") == "cuda"
    assert find_device("gpu:1") == "cuda:1"
    assert find_device("cuda:0") == "cuda:0"
    assert devices == ["cuda", "cuda:1", "cuda:0"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == "cuda"


def test_find_device_refuses_meta():
    with pytest.raises(UsageError, match="--device must be a device with memory, not 'meta'"):
        find_device("meta")


def test_machine_line_has_versions_threads_and_dtype():
    line = machine_line("cpu", "float32")
    assert line.endswith(f"cpu ({torch.get_num_threads()} threads), float32")
    assert f"torch {torch.__version__}" in line
