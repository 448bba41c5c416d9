"""Models on the Hugging Face Hub, through the mixin of huggingface_hub. Needs the extra ``res3d[hub]``."""

from pathlib import Path

from huggingface_hub import ModelHubMixin, hf_hub_download

from res3d.backbone import ClipClassifier, ResNet3d
from res3d.weights.files import load_model, save_weights

FILE = "model.safetensors"


class HubModel(ModelHubMixin, library_name="res3d", tags=["video", "3d-resnet"], license="apache-2.0"):
    """Wrapper that uploads a backbone or classifier to the Hub and downloads it.

    ``HubModel(model).push_to_hub("me/my-model")`` uploads the model.
    ``HubModel.from_pretrained("me/my-model").model`` downloads and rebuilds it.
    ``save_pretrained(folder)`` and ``from_pretrained(folder)`` do the same with a local folder. ``save_weights`` writes
    the file: safetensors, with the spec in the metadata.

    Args:
        model: the backbone or classifier.
    """

    def __init__(self, model: ResNet3d | ClipClassifier) -> None:
        self.model = model

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(self.model, save_directory / FILE)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: object,
    ) -> "HubModel":
        if Path(model_id).is_dir():
            path = str(Path(model_id) / FILE)
        else:
            path = hf_hub_download(
                model_id,
                FILE,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        return cls(load_model(path))
