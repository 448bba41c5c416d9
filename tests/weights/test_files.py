import json
import pickle

import pytest
import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import res3d
from res3d.clips import ClipSpec
from res3d.weights import WeightsError, hash_weights


def have_equal_state(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


@pytest.mark.parametrize("norm", ["batch", "frozen_batch", "group"])
def test_load_model_rebuilds_a_saved_backbone(tmp_path, norm):
    model = res3d.r2plus1d_18(width=0.125, norm=norm, body="conv4")
    res3d.save_weights(model, tmp_path / "w.safetensors")
    loaded = res3d.load_model(tmp_path / "w.safetensors")
    assert isinstance(loaded, res3d.ResNet3d)
    assert loaded.spec == model.spec
    assert have_equal_state(model, loaded)
    assert hash_weights(model) == hash_weights(loaded)


def test_load_model_rebuilds_a_saved_classifier(tmp_path, thin_spec):
    model = res3d.create_classifier(thin_spec, 7, dropout=0.25)
    res3d.save_weights(model, tmp_path / "w.safetensors")
    loaded = res3d.load_model(tmp_path / "w.safetensors")
    assert isinstance(loaded, res3d.ClipClassifier)
    assert (loaded.num_classes, loaded.dropout.p) == (7, 0.25)
    assert have_equal_state(model, loaded)


def test_clip_spec_and_class_names_are_saved_in_the_format_of_0_1_0(tmp_path, thin):
    clip = ClipSpec(length=4, step=2, fps=12.5, resize=40, crop=(32, 36), std=(0.2, 0.25, 0.3))
    model = res3d.ClipClassifier(thin, 2, trained_on=clip, categories=("walk", "wave"))
    path = tmp_path / "c.safetensors"
    res3d.save_weights(model, path)
    with safe_open(path, "pt") as file:
        written = json.loads(file.metadata()["res3d"])
    values = yaml.safe_load(written["trained_on"])
    assert list(values) == ["length", "step", "fps", "resize", "crop", "std", "categories"], (
        "a resumed run compares the text of the metadata"
    )
    assert values == {
        "resize": 40,
        "crop": [32, 36],
        "std": [0.2, 0.25, 0.3],
        "length": 4,
        "step": 2,
        "fps": 12.5,
        "categories": ["walk", "wave"],
    }
    loaded = res3d.load_model(path)
    assert (loaded.trained_on, loaded.categories) == (clip, ("walk", "wave"))
    short = "length: 16\nresize: 40\ncategories: [a, b]\n"
    save_file(model.state_dict(), path, metadata={"res3d": json.dumps({**written, "trained_on": short})})
    loaded = res3d.load_model(path)
    assert (loaded.trained_on, loaded.categories) == (ClipSpec(length=16, resize=40), ("a", "b"))


def test_class_names_are_saved_without_a_clip_spec(tmp_path, thin):
    path = tmp_path / "c.safetensors"
    res3d.save_weights(res3d.ClipClassifier(thin, 2, categories=("walk", "wave")), path)
    loaded = res3d.load_model(path)
    assert (loaded.trained_on, loaded.categories) == (None, ("walk", "wave"))
    with pytest.raises(ValueError, match="categories must be empty or name all 2 classes, not 3"):
        res3d.ClipClassifier(thin, 2, categories=("a", "b", "c"))


def test_a_model_in_channels_last_format_is_saved(tmp_path, thin):
    thin.to(memory_format=torch.channels_last_3d)
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    assert have_equal_state(thin, res3d.load_model(tmp_path / "w.safetensors"))


def test_the_umask_determines_the_permissions_of_a_saved_file(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("disk full"), "disk full"),
        (SafetensorError("I/O error"), r"w\.safetensors: the weights cannot be written"),
    ],
)
def test_a_failed_save_leaves_the_existing_file_unchanged_and_no_other(tmp_path, thin, monkeypatch, error, message):
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    before = (tmp_path / "w.safetensors").read_bytes()

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("res3d.weights.files.save_file", fail)
    with pytest.raises(OSError, match=message):
        res3d.save_weights(thin, tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    assert (tmp_path / "w.safetensors").read_bytes() == before


def test_saving_another_module_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match="the model must be a ResNet3d or a ClipClassifier or a MaskRCNN3d, not a Linear"
    ):
        res3d.save_weights(torch.nn.Linear(2, 2), tmp_path / "w.safetensors")


def test_load_model_refuses_other_files_with_their_names(tmp_path, thin):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps(Malicious()))
    (tmp_path / "empty.safetensors").write_bytes(b"")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "kind.safetensors", metadata={"res3d": json.dumps({"kind": "boat"})})
    spec = thin.spec.to_yaml()
    missing = json.dumps({"kind": "backbone", "spec": spec})
    save_file({"a": torch.zeros(2)}, tmp_path / "missing.safetensors", metadata={"res3d": missing})
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    for name, message in {
        "pickle": "not a safetensors file, or a damaged one",
        "empty": "not a safetensors file, or a damaged one",
        "cut": "not a safetensors file, or a damaged one",
        "foreign": "not a safetensors file that res3d wrote",
        "kind": "its model kind must be one of 'backbone', 'classifier', 'detector', not 'boat'",
        "missing": "its weights do not fit the model in its metadata",
    }.items():
        with pytest.raises(WeightsError, match=rf"{name}.safetensors: {message}"):
            res3d.load_model(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match=r"nowhere.safetensors: no such weights file"):
        res3d.load_model(tmp_path / "nowhere.safetensors")
    assert not (tmp_path / "executed").exists()


def test_a_float16_file_has_half_the_size_and_loads_as_float32(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    res3d.save_weights(thin, tmp_path / "h.safetensors", dtype=torch.float16)
    assert (tmp_path / "h.safetensors").stat().st_size < 0.6 * (tmp_path / "w.safetensors").stat().st_size
    loaded = res3d.load_model(tmp_path / "h.safetensors")
    for name, tensor in thin.state_dict().items():
        assert loaded.state_dict()[name].dtype == tensor.dtype
        assert torch.equal(loaded.state_dict()[name], tensor.half().to(tensor.dtype))


def test_saving_refuses_a_dtype_that_cannot_represent_a_weight(tmp_path, thin):
    with torch.no_grad():
        thin.stem.norm.running_var[0] = 1e6
    with pytest.raises(ValueError, match=r"stem\.norm.running_var has values out of the range of torch.float16"):
        res3d.save_weights(thin, tmp_path / "w.safetensors", dtype=torch.float16)
    with pytest.raises(ValueError, match=r"dtype must be a floating-point type, not torch\.int8"):
        res3d.save_weights(thin, tmp_path / "w.safetensors", dtype=torch.int8)
    assert not list(tmp_path.iterdir())
