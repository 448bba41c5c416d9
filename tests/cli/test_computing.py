import pytest
import torch

from res3d.cli.computing import find_device, machine_line
from res3d.cli.errors import UsageError


def test_devices_have_the_words_that_people_use(monkeypatch):
    made = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: made.append(device))
    assert find_device("gpu") == "cuda"
    assert find_device("gpu:1") == "cuda:1"
    assert find_device("cuda:0") == "cuda:0"
    assert made == ["cuda", "cuda:1", "cuda:0"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == "cuda"


def test_a_device_that_holds_nothing_is_refused():
    with pytest.raises(UsageError, match="--device meta: holds no data"):
        find_device("meta")


def test_the_machine_is_one_line():
    line = machine_line("cpu", "float32")
    assert line.endswith(f"cpu ({torch.get_num_threads()} threads), float32")
    assert f"torch {torch.__version__}" in line
