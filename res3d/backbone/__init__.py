"""Residual 3D backbones: specs of architectures, the network that a spec builds, and the catalog of named specs."""

from res3d.backbone.block import LayerFactory, ResidualBlock, Stage, build_stage
from res3d.backbone.block_spec import BlockSpec, ConvPlan, ConvSpec, ShortcutSpec
from res3d.backbone.catalog import CATALOG, find_spec, list_backbones, resolve_spec
from res3d.backbone.classifier import ClipClassifier
from res3d.backbone.convs import ONE, FactoredConv, ReplicatedTimeConv3d, Size3
from res3d.backbone.describe import ModelTable, StageRow, conv_label, count_parameters, describe, times
from res3d.backbone.norms import NORMS, FrozenBatchNorm3d
from res3d.backbone.overrides import OVERRIDES, apply_overrides
from res3d.backbone.reach import TemporalReach, averages_time, count_positions, frame_wise_stages, temporal_reach
from res3d.backbone.resnet import ResNet3d, StagedNetwork, set_module_eps
from res3d.backbone.shortcuts import ProjectionShortcut, ShortcutPlan
from res3d.backbone.spec import (
    BackboneSpec,
    FeatureInfo,
    HeadSpec,
    NormSpec,
    PoolSpec,
    StageSpec,
    StemSpec,
    stage_hint,
    with_norm_eps,
)
from res3d.moved import moved_names

__all__ = [
    "CATALOG",
    "NORMS",
    "ONE",
    "OVERRIDES",
    "BackboneSpec",
    "BlockSpec",
    "ClipClassifier",
    "ConvPlan",
    "ConvSpec",
    "FactoredConv",
    "FeatureInfo",
    "FrozenBatchNorm3d",
    "HeadSpec",
    "LayerFactory",
    "ModelTable",
    "NormSpec",
    "PoolSpec",
    "ProjectionShortcut",
    "ReplicatedTimeConv3d",
    "ResNet3d",
    "ResidualBlock",
    "ShortcutPlan",
    "ShortcutSpec",
    "Size3",
    "Stage",
    "StageRow",
    "StageSpec",
    "StagedNetwork",
    "StemSpec",
    "TemporalReach",
    "apply_overrides",
    "averages_time",
    "build_stage",
    "conv_label",
    "count_parameters",
    "count_positions",
    "describe",
    "find_spec",
    "frame_wise_stages",
    "list_backbones",
    "resolve_spec",
    "set_module_eps",
    "stage_hint",
    "temporal_reach",
    "times",
    "with_norm_eps",
]

__getattr__ = moved_names(__name__)
