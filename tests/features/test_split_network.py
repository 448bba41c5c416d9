import pytest
import torch

import res3d
from res3d.features.split_network import SplitNetwork
from res3d.inference import optimize


def split(model, shared: int) -> SplitNetwork:
    backbone = model.backbone if isinstance(model, res3d.ClipClassifier) else model
    names = backbone.spec.stage_names
    return SplitNetwork(model=optimize(model, dtype="float32"), shared=names[:shared], rest=names[shared:])


def clip_of(frames: torch.Tensor) -> torch.Tensor:
    """Stack maps of frames to one clip: [m, C, h, w] -> [1, C, m, h, w]."""
    return frames.permute(1, 0, 2, 3)[None]


@pytest.mark.parametrize("shared", [0, 1, 2])
@torch.no_grad()
def test_both_parts_together_compute_the_map_of_the_backbone(thin, shared):
    frames = torch.randn(4, 3, 32, 32)
    expected = thin(clip_of(frames))["conv5"]
    network = split(thin, shared)
    torch.testing.assert_close(network.clip_maps(clip_of(network.frame_maps(frames))), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_shared_stages_frames_are_returned_unchanged(thin):
    frames = torch.randn(2, 3, 32, 32)
    assert split(thin, 0).frame_maps(frames) is frames


@torch.no_grad()
def test_logits_equal_those_of_the_classifier(thin):
    classifier = res3d.ClipClassifier(thin, 5).eval()
    torch.nn.init.normal_(classifier.fc.weight)
    frames = torch.randn(4, 3, 32, 32)
    network = split(classifier, 2)
    logits = network.logits(network.clip_maps(clip_of(network.frame_maps(frames))))
    torch.testing.assert_close(logits, classifier(clip_of(frames)), rtol=1e-4, atol=1e-4)
