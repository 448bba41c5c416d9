"""``torch.export`` exports every kind of backbone in the catalog, for any number of clips and frames."""

import re

import pytest
import torch
from torch.export import Dim

import res3d

# Without deep networks, which only repeat the blocks of a shallower one.
SHALLOW = [name for name in res3d.list_backbones() if not re.search("(101|152|200)", name) or name == "csn_r101"]


@pytest.mark.parametrize("name", SHALLOW)
@torch.no_grad()
def test_every_backbone_is_exported_with_dynamic_batch_and_time(name):
    model = res3d.create_backbone(name, width=0.0625).eval()
    spec = model.spec
    last = spec.stage_names[-1]
    t, h, w = spec.min_clip
    least = max(t, 2 * spec.feature_info[last].stride[0])  # torch.export fixes an axis of length 1
    clip = torch.randn(2, spec.in_channels, 2 * least, max(h, 32), max(w, 32))
    frames = Dim("frames", min=least, max=4096)
    exported = torch.export.export(model, (clip,), dynamic_shapes={"clip": {0: Dim("clips"), 2: frames}})
    other = torch.randn(3, spec.in_channels, 3 * least + 1, *clip.shape[3:])
    torch.testing.assert_close(exported.module()(other)[last], model(other)[last])
