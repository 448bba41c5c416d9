import pytest
import torch

import res3d

hub = pytest.importorskip("huggingface_hub")


def test_the_mixin_saves_and_rebuilds_a_model_in_a_folder(tmp_path, thin):
    from res3d.weights.hub import HubModel

    model = res3d.ClipClassifier(thin, 3)
    HubModel(model).save_pretrained(tmp_path / "saved")
    assert "model.safetensors" in {p.name for p in (tmp_path / "saved").iterdir()}
    loaded = HubModel.from_pretrained(str(tmp_path / "saved")).model
    assert isinstance(loaded, res3d.ClipClassifier)
    assert torch.equal(loaded.fc.weight, model.fc.weight)


def test_from_pretrained_downloads_the_requested_revision(tmp_path, thin, monkeypatch):
    from res3d.weights import hub as module

    res3d.save_weights(thin, tmp_path / "model.safetensors")
    request = {}

    def download(repo_id, filename, **options):
        request.update(options, repo_id=repo_id, filename=filename)
        return str(tmp_path / filename)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(module, "hf_hub_download", download)
    monkeypatch.setattr(hub.hub_mixin, "hf_hub_download", download)  # the mixin looks for a config first
    loaded = module.HubModel.from_pretrained("someone/model", revision="v1").model
    assert torch.equal(loaded.stem.conv.weight, thin.stem.conv.weight)
    assert (request["repo_id"], request["filename"], request["revision"]) == (
        "someone/model",
        "model.safetensors",
        "v1",
    )


def test_from_pretrained_refuses_a_folder_without_a_model(tmp_path):
    from res3d.weights.hub import HubModel

    with pytest.raises(FileNotFoundError, match=r"model.safetensors: no such weights file"):
        HubModel.from_pretrained(str(tmp_path))
