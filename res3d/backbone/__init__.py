"""Residual 3D backbones: specs (data), the network they build, and the catalog of named ones."""

from res3d.backbone.block_spec import BlockSpec, ConvSpec, ShortcutSpec
from res3d.backbone.catalog import CATALOG, find_spec, list_backbones
from res3d.backbone.classifier import ClipClassifier
from res3d.backbone.describe import ModelTable, StageRow, count_parameters, describe
from res3d.backbone.diagram import draw_network
from res3d.backbone.overrides import OVERRIDES, apply_overrides
from res3d.backbone.reach import TemporalReach, averages_time, count_positions, frame_wise_stages, temporal_reach
from res3d.backbone.resnet import ResNet3d
from res3d.backbone.spec import (
    BackboneSpec,
    FeatureInfo,
    HeadSpec,
    NormSpec,
    PoolSpec,
    StageSpec,
    StemSpec,
    stage_hint,
)

__all__ = [
    "CATALOG",
    "OVERRIDES",
    "BackboneSpec",
    "BlockSpec",
    "ClipClassifier",
    "ConvSpec",
    "FeatureInfo",
    "HeadSpec",
    "ModelTable",
    "NormSpec",
    "PoolSpec",
    "ResNet3d",
    "ShortcutSpec",
    "StageRow",
    "StageSpec",
    "StemSpec",
    "TemporalReach",
    "apply_overrides",
    "averages_time",
    "count_parameters",
    "count_positions",
    "describe",
    "draw_network",
    "find_spec",
    "frame_wise_stages",
    "list_backbones",
    "stage_hint",
    "temporal_reach",
]
