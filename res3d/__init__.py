"""Residual 3D backbones for video detection and tracking.

Every name in ``list_backbones()`` is also a function of this package: ``res3d.resnet18_3d(freeze_at=2)``. Names are
imported on first access, so ``import res3d`` alone does not import torch.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from res3d.lazy import lazy_names
from res3d.version import __version__

if TYPE_CHECKING:
    from res3d import detection, evaluation, features, structures, tracking, training, video, viz
    from res3d.backbone import BackboneSpec, ClipClassifier, ResNet3d, describe, list_backbones
    from res3d.features import extract_features
    from res3d.structures import ClipFeatures
    from res3d.weights import (
        LoadReport,
        WeightsError,
        create_backbone,
        create_classifier,
        list_weights,
        load_model,
        load_weights,
        save_weights,
    )

__all__ = [
    "BackboneSpec",
    "ClipClassifier",
    "ClipFeatures",
    "LoadReport",
    "ResNet3d",
    "WeightsError",
    "__version__",
    "create_backbone",
    "create_classifier",
    "describe",
    "detection",
    "evaluation",
    "extract_features",
    "features",
    "list_backbones",
    "list_weights",
    "load_model",
    "load_weights",
    "save_weights",
    "structures",
    "tracking",
    "training",
    "video",
    "viz",
]

_lazy_name, _lazy_names = lazy_names(__name__)


def __getattr__(name: str) -> Any:
    try:
        return _lazy_name(name)
    except AttributeError:
        if name.startswith("_") or name not in _catalog():
            raise
        return _factory(name)


def __dir__() -> list[str]:
    return sorted({*_lazy_names(), *_catalog()})


def _catalog() -> list[str]:
    from res3d.backbone import CATALOG

    return list(CATALOG)


@cache
def _factory(name: str) -> Callable[..., "ResNet3d"]:
    from res3d.weights import named_factory

    return named_factory(name)
