"""How the input of registered weights is prepared, as a pipeline takes it."""

from res3d.video import Preprocessing
from res3d.weights import WeightsEntry


def preprocessing_of(entry: WeightsEntry) -> Preprocessing:
    """The resize, crop and normalisation that the weights were published with."""
    return Preprocessing(
        resize=entry.resize, crop=entry.crop, mean=entry.mean, std=entry.std, antialias=entry.antialias
    )
