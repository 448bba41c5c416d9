"""Residual 3D backbones for video detection and tracking.

Every name in ``list_backbones()`` is also a function of this package: ``res3d.resnet18_3d(freeze_at=2)``.
"""

from functools import cache
from importlib import import_module
from typing import Any

from res3d import detection, features, structures, video
from res3d.backbone import CATALOG, BackboneSpec, ClipClassifier, ResNet3d, describe, list_backbones
from res3d.features import extract_features
from res3d.structures import ClipFeatures
from res3d.version import __version__
from res3d.weights import (
    LoadReport,
    WeightsError,
    create_backbone,
    create_classifier,
    list_weights,
    load_model,
    load_weights,
    named_factory,
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

LAZY_ROOMS = ("evaluation", "tracking", "training", "viz")  # imported when first asked for: not everybody needs SciPy

_named_factory = cache(named_factory)


def __getattr__(name: str) -> Any:
    if name in LAZY_ROOMS:
        return import_module(f"res3d.{name}")
    if name in CATALOG:
        return _named_factory(name)
    raise AttributeError(f"module 'res3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *CATALOG, *LAZY_ROOMS})
