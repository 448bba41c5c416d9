"""Weights sources: their descriptions, and one read of the tensors for several uses."""

import json
import sys

import pytest
import torch
from safetensors.torch import save_file

import res3d
from res3d.clips import ClipSpec
from res3d.weights import WeightsError, find_weights, kind_of, load_classifier, open_weights
from res3d.weights.kinds import KINDS, resolve_kind

_OPENED: list[str] | None = None


def _record_opened(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _OPENED is not None:
        _OPENED.append(str(arguments[0]))


sys.addaudithook(_record_opened)  # audit hooks cannot be removed


@pytest.fixture
def opened():
    """Paths of all files that Python code opens during a test."""
    global _OPENED
    _OPENED = []
    yield _OPENED
    _OPENED = None


def test_registered_weights_are_read_and_hashed_once(registered, opened):
    source = open_weights(registered)
    entry = find_weights(registered)
    assert (source.name, source.kind, source.num_classes) == (registered, "classifier", 5)
    assert (source.clip, source.categories, source.norm_eps) == (entry.clip, entry.categories, 1e-5)
    assert source.spec.name == "resnet10_3d_thin"
    assert not any(name.endswith("made.pth") for name in opened)
    classifier = load_classifier(source)
    res3d.load_weights(classifier, source)
    res3d.create_backbone(source.spec, weights=source)
    assert source.layout.name == "res3d"
    assert sum(name.endswith("made.pth") for name in opened) == 2  # once hashed, once read
    assert (classifier.trained_on, classifier.categories) == (entry.clip, entry.categories)


def test_a_saved_file_is_described_without_reading_its_tensors(tmp_path, thin, monkeypatch):
    clip = ClipSpec(length=8, step=2, crop=(32, 32))
    model = res3d.ClipClassifier(thin, 3, trained_on=clip, categories=("a", "b", "c"))
    res3d.save_weights(model, tmp_path / "c.safetensors")
    source = open_weights(tmp_path / "c.safetensors")
    monkeypatch.setattr("res3d.weights.source.read_checkpoint", lambda path: pytest.fail("tensors were read"))
    assert source.is_saved
    assert (source.kind, source.spec, source.num_classes) == ("classifier", thin.spec, 3)
    assert (source.clip, source.categories, source.norm_eps) == (clip, ("a", "b", "c"), None)


def test_other_files_and_state_dicts_have_no_description(tmp_path, thin):
    torch.save(res3d.ClipClassifier(thin, 3).state_dict(), tmp_path / "c.pth")
    for source, name in (
        (open_weights(tmp_path / "c.pth"), str(tmp_path / "c.pth")),
        (open_weights(thin.state_dict()), "a state dict"),
    ):
        assert source.name == name
        assert (source.kind, source.spec, source.clip, source.categories) == (None, None, None, ())
        assert source.num_classes == (3 if name.endswith(".pth") else None)
        assert res3d.load_weights(res3d.ResNet3d(thin.spec), source).source == name
    classifier = load_classifier(open_weights(tmp_path / "c.pth"), model=thin.spec)
    assert classifier.num_classes == 3
    assert open_weights(source) is source


def test_open_weights_refuses_missing_files_and_unknown_metadata(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth: no such weights file"):
        open_weights(tmp_path / "nowhere.pth")
    with pytest.raises(ValueError, match="no weights are registered as 'torchvision/r3d_81"):
        open_weights("torchvision/r3d_81.kinetics400")
    for metadata, message in {
        "[1, 2": "its metadata is not a JSON object",
        "3": "its metadata is not a JSON object",
        json.dumps({"kind": ["backbone"]}): r"its model kind must be one of .*, not \['backbone'\]",
        json.dumps({"kind": "backbone"}): "its metadata does not describe a model",
    }.items():
        save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors", metadata={"res3d": metadata})
        with pytest.raises(WeightsError, match=f"w.safetensors: {message}"):
            open_weights(tmp_path / "w.safetensors")


def test_every_entry_of_the_kinds_table_resolves(thin):
    assert [resolve_kind(name).name for name in KINDS] == list(KINDS)
    assert kind_of(thin).name == "backbone"


def test_the_error_for_another_network_names_both_networks(tmp_path):
    res3d.save_weights(res3d.r3d_18(width=0.125), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors: holds r3d_18, not resnet50_3d$"):
        res3d.resnet50_3d(width=0.125, weights=tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"holds r3d_18, not mc3_18 \(.* is \(16, 8, 3, 3, 3\), the model's"):
        res3d.mc3_18(width=0.125, weights=tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"holds r3d_18, not mc3_18 \(was saved with norm eps 1e-05"):
        res3d.mc3_18(width=0.125, norm_eps=1e-3, weights=tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"was saved with shortcut='project' in conv2\.0, not 'pool_pad'"):
        res3d.r3d_18(width=0.125, shortcut="pool_pad", weights=tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="channels='sum' is for models of 1 input channel, not 3"):
        res3d.load_weights(res3d.mc3_18(width=0.125), tmp_path / "w.safetensors", channels="sum")
