"""Weights and the factories that build models: load, save, rebuild."""

from res3d.weights.download import fetch_weights
from res3d.weights.factory import (
    BackboneFactory,
    backbone_of,
    categories_of,
    clip_of,
    create_backbone,
    create_classifier,
    head_classes,
    load_classifier,
    named_factory,
    resolve_spec,
)
from res3d.weights.files import hash_weights, load_model, save_weights
from res3d.weights.load import load_weights
from res3d.weights.registry import WeightsEntry, find_weights, is_registered, list_weights
from res3d.weights.report import LoadReport, WeightsError

__all__ = [
    "BackboneFactory",
    "LoadReport",
    "WeightsEntry",
    "WeightsError",
    "backbone_of",
    "categories_of",
    "clip_of",
    "create_backbone",
    "create_classifier",
    "fetch_weights",
    "find_weights",
    "hash_weights",
    "head_classes",
    "is_registered",
    "list_weights",
    "load_classifier",
    "load_model",
    "load_weights",
    "named_factory",
    "resolve_spec",
    "save_weights",
]
