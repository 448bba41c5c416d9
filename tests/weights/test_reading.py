"""Reading of checkpoint files; files without weights are refused, and nothing in them is executed."""

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import res3d
from res3d.weights import WeightsError
from res3d.weights.reading import read_checkpoint, unwrap


class Malicious:
    """An object that runs a command when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("name", ["malicious.pkl", "malicious.pth", "malicious.pt"])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"blobs": {"conv1_w": np.zeros(2), "x": x}}])
def test_a_malicious_pickle_is_refused_without_being_executed(tmp_path, name, wrap):
    trap = tmp_path / "executed"
    (tmp_path / name).write_bytes(pickle.dumps(wrap(Malicious(trap))))
    with pytest.raises(WeightsError, match=name):
        read_checkpoint(tmp_path / name)
    assert not trap.exists()


def test_a_malicious_torch_file_is_refused_without_being_executed(tmp_path):
    trap = tmp_path / "executed"
    torch.save({"state_dict": {"conv1.weight": torch.zeros(2), "x": Malicious(trap)}}, tmp_path / "malicious.pth")
    with pytest.raises(WeightsError, match=r"malicious.pth: not a file of weights that torch can read"):
        read_checkpoint(tmp_path / "malicious.pth")
    assert not trap.exists()


@pytest.mark.parametrize("refused", [eval, os.system, getattr, type, np.load, torch.nn.Linear, pickle.loads])
def test_the_unpickler_names_the_object_that_it_refuses(tmp_path, refused):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": refused}))
    with pytest.raises(
        WeightsError, match=rf"a.pkl: the pickle refers to [\w.]+\.{refused.__name__}, which is neither an array"
    ):
        read_checkpoint(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_pickle_protocol_are_read(tmp_path, protocol):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.float64(3.5),
        "c": np.asfortranarray(np.eye(3)),
    }
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps({"blobs": arrays, "n": 3, "s": "text", "l": [1, (2, None)]}, protocol)
    )
    tensors = read_checkpoint(tmp_path / "a.pkl")
    assert set(tensors) == {"a", "c"}
    assert torch.equal(tensors["a"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(tensors["c"], torch.eye(3, dtype=torch.float64))


def test_a_pickle_of_python_2_is_read(tmp_path):
    array = np.arange(4, dtype=np.float32)
    data = pickle.dumps({"blobs": {"a": array}}, protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    assert b"numpy.core.multiarray" in data
    (tmp_path / "a.pkl").write_bytes(data)
    assert torch.equal(read_checkpoint(tmp_path / "a.pkl")["a"], torch.from_numpy(array))


def test_files_without_weights_are_refused_with_their_names(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.pkl").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "empty.pkl").write_bytes(b"")
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04" + bytes(50))
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-100])
    for name, message in {
        "text.pth": "not a file of weights",
        "text.pkl": "not a pickle of arrays",
        "empty.pth": "not a file of weights",
        "empty.pkl": "not a pickle of arrays",
        "zip.pth": "not a file of weights",
        "cut.pth": "not a file of weights",
        "text.safetensors": "not a safetensors file",
        "list.pth": "holds a list, not named tensors",
        "numbers.pth": "holds no tensors",
    }.items():
        with pytest.raises(WeightsError, match=rf"{name}: {message}") as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert "weights_only=False" not in str(caught.value), "the message must not advise unsafe loading"
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth: no such weights file"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_safetensors_without_res3d_metadata_are_read(tmp_path, thin, thin_spec):
    save_file({k: v.contiguous() for k, v in thin.state_dict().items()}, tmp_path / "w.safetensors")
    model = res3d.create_backbone(thin_spec, weights=tmp_path / "w.safetensors")
    assert torch.equal(model.stem.conv.weight, thin.stem.conv.weight)


def test_unwrap_does_not_open_a_tensor_named_model():
    assert set(unwrap({"model": torch.zeros(1), "other": torch.zeros(1)})) == {"model", "other"}
