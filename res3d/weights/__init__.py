"""Loading and saving of weights, and the factories that build models."""

from res3d.backbone import resolve_spec
from res3d.moved import moved_names
from res3d.weights.download import fetch_weights
from res3d.weights.factory import BackboneFactory, create_backbone, create_classifier, load_classifier, named_factory
from res3d.weights.files import hash_weights, load_model, save_weights
from res3d.weights.inflation import CHANNELS, INFLATIONS, Channels, Inflation
from res3d.weights.kinds import Metadata, ModelDescription, ModelKind, kind_of
from res3d.weights.layouts import CAFFE2, LAYOUTS, RESNET, Layout, recognise
from res3d.weights.load import load_weights
from res3d.weights.registry import WeightsEntry, find_weights, is_registered, list_weights
from res3d.weights.report import LoadReport, WeightsError, describe_misfits
from res3d.weights.source import Source, WeightsSource, open_weights

__all__ = [
    "CAFFE2",
    "CHANNELS",
    "INFLATIONS",
    "LAYOUTS",
    "RESNET",
    "BackboneFactory",
    "Channels",
    "Inflation",
    "Layout",
    "LoadReport",
    "Metadata",
    "ModelDescription",
    "ModelKind",
    "Source",
    "WeightsEntry",
    "WeightsError",
    "WeightsSource",
    "create_backbone",
    "create_classifier",
    "describe_misfits",
    "fetch_weights",
    "find_weights",
    "hash_weights",
    "is_registered",
    "kind_of",
    "list_weights",
    "load_classifier",
    "load_model",
    "load_weights",
    "named_factory",
    "open_weights",
    "recognise",
    "resolve_spec",
    "save_weights",
]

__getattr__ = moved_names(__name__)
