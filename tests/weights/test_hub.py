import pytest
import torch

import res3d

hub = pytest.importorskip("huggingface_hub")


def test_a_model_is_saved_and_rebuilt_through_the_hubs_mixin(tmp_path, thin):
    from res3d.weights.hub import HubModel

    model = res3d.ClipClassifier(thin, 3)
    HubModel(model).save_pretrained(tmp_path / "mine")
    assert "model.safetensors" in {p.name for p in (tmp_path / "mine").iterdir()}
    again = HubModel.from_pretrained(str(tmp_path / "mine")).model
    assert isinstance(again, res3d.ClipClassifier)
    assert torch.equal(again.fc.weight, model.fc.weight)


def test_the_hubs_cache_is_where_models_come_from(tmp_path, thin, monkeypatch):
    from res3d.weights import hub as module

    res3d.save_weights(thin, tmp_path / "model.safetensors")
    asked = {}

    def download(repo_id, filename, **options):
        asked.update(options, repo_id=repo_id, filename=filename)
        return str(tmp_path / filename)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(module, "hf_hub_download", download)
    monkeypatch.setattr(hub.hub_mixin, "hf_hub_download", download)  # the mixin looks for a config first
    again = module.HubModel.from_pretrained("someone/model", revision="v1").model
    assert torch.equal(again.stem.conv.weight, thin.stem.conv.weight)
    assert (asked["repo_id"], asked["filename"], asked["revision"]) == ("someone/model", "model.safetensors", "v1")


def test_a_folder_without_a_model_is_named(tmp_path):
    from res3d.weights.hub import HubModel

    with pytest.raises(FileNotFoundError, match=r"model.safetensors: no such weight file"):
        HubModel.from_pretrained(str(tmp_path))
