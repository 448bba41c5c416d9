"""``torch.export`` exports every kind of backbone in the catalog, for any number of clips and frames."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.export import Dim, ExportedProgram

import res3d
from res3d.backbone import CATALOG, BackboneSpec, StageSpec, apply_overrides


def shorten(spec: BackboneSpec) -> BackboneSpec:
    """Return a spec with the same layers, each kind once: without repeated blocks, and without repeated stages.

    The first block of a stage remains, since it has the stride; a stage is repeated if it differs from an
    earlier one only in width.
    """

    def shorten_stage(stage: StageSpec) -> StageSpec:
        return replace(stage, blocks=(stage.blocks[0], *dict.fromkeys(stage.blocks[1:])))

    stages: dict[StageSpec, StageSpec] = {}
    for stage in map(shorten_stage, spec.stages):
        stages.setdefault(replace(stage, width=1), stage)
    return replace(spec, stages=tuple(stages.values()))


@cache  # deep networks are like shallow ones without their repeated blocks
def export(spec: BackboneSpec) -> tuple[res3d.ResNet3d, torch.Tensor, ExportedProgram]:
    """Return the network, a clip with the smallest number of frames that can vary, and the exported program."""
    model = res3d.ResNet3d(spec).eval()
    t, h, w = spec.min_clip
    least = max(t, 2 * spec.feature_info[spec.stage_names[-1]].stride[0])  # torch.export fixes an axis of length 1
    clip = torch.randn(2, spec.in_channels, least, max(h, 32), max(w, 32))
    shapes = {"clip": {0: Dim("clips"), 2: Dim("frames", min=least, max=4096)}}
    example = clip.repeat(1, 1, 2, 1, 1)
    return model, clip, torch.export.export(model, (example,), dynamic_shapes=shapes)


@pytest.mark.slow
@pytest.mark.parametrize("name", res3d.list_backbones())
@torch.no_grad()
def test_every_backbone_is_exported_with_dynamic_batch_and_time(name):
    spec = replace(apply_overrides(shorten(CATALOG[name]), width=0.0625), name="shortened")
    model, clip, exported = export(spec)
    last = spec.stage_names[-1]
    other = torch.randn(3, spec.in_channels, 3 * clip.shape[2] + 1, *clip.shape[3:])
    torch.testing.assert_close(exported.module()(other)[last], model(other)[last])


def test_shortened_specs_have_every_kind_of_block_of_the_catalog():
    for name, spec in CATALOG.items():
        blocks = {block for stage in spec.stages for block in stage.blocks}
        assert {block for stage in shorten(spec).stages for block in stage.blocks} == blocks, name
        assert {stage.stride for stage in shorten(spec).stages} == {stage.stride for stage in spec.stages}, name
