"""How the input of trained weights is prepared, as a pipeline takes it."""

from res3d.backbone import ClipInput
from res3d.video import Preprocessing


def preprocessing_of(known: ClipInput) -> Preprocessing:
    """The resize, crop and normalisation of the clips that something was trained on."""
    return Preprocessing(
        resize=known.resize, crop=known.crop, mean=known.mean, std=known.std, antialias=known.antialias
    )
