"""Weights and the factories that build models: load, save, rebuild."""

from res3d.weights.factory import BackboneFactory, create_backbone, create_classifier, named_factory, resolve_spec
from res3d.weights.files import hash_weights, load_model, save_weights
from res3d.weights.load import load_weights
from res3d.weights.report import LoadReport, WeightsError

__all__ = [
    "BackboneFactory",
    "LoadReport",
    "WeightsError",
    "create_backbone",
    "create_classifier",
    "hash_weights",
    "load_model",
    "load_weights",
    "named_factory",
    "resolve_spec",
    "save_weights",
]
