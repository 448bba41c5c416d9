import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, Matcher

from res3d.detection.sampling import BACKGROUND, UNDECIDED, RoiSampler, VisibleFrames, match_tubes, sample_tubes
from res3d.detection.targets import ClipTargets


def targets(boxes: torch.Tensor, visible: torch.Tensor | None = None) -> ClipTargets:
    visible = torch.ones(boxes.shape[:2], dtype=torch.bool) if visible is None else visible
    return ClipTargets(boxes=boxes, visible=visible, labels=torch.arange(len(boxes)) + 1, extra={})


@pytest.mark.parametrize("keep_best", [False, True])
def test_matches_are_torchvisions(keep_best):
    iou = torch.rand(6, 200) * 0.8
    iou[:, 150:] = iou[:, :50]  # ties
    iou[5] *= 0.2  # an object that nothing fits
    assert torch.equal(match_tubes(iou, 0.7, 0.3, keep_best=keep_best), Matcher(0.7, 0.3, keep_best)(iou))


def test_an_object_that_nothing_overlaps_takes_nothing():
    """Its best overlap is 0, which every tube has: torchvision's rule would give it all of them."""
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.2, 0.5]])
    assert match_tubes(iou, 0.7, 0.3, keep_best=True).tolist() == [1, BACKGROUND, UNDECIDED]
    assert match_tubes(torch.zeros(0, 3), 0.7, 0.3, keep_best=True).tolist() == [BACKGROUND] * 3


@pytest.mark.parametrize(("positives", "negatives"), [(50, 100), (3, 100), (50, 2), (0, 0)])
def test_samples_are_as_many_as_torchvisions(positives, negatives):
    matches = torch.tensor([0] * positives + [BACKGROUND] * negatives + [UNDECIDED] * 9)
    matches = matches[torch.randperm(len(matches))]
    positive, negative = sample_tubes(matches, 32, 0.25)
    labels = torch.where(matches == UNDECIDED, -1, (matches >= 0).long())
    theirs = BalancedPositiveNegativeSampler(32, 0.25)([labels])
    assert (len(positive), len(negative)) == tuple(int(mask[0].sum()) for mask in theirs)
    assert (matches[positive] >= 0).all()
    assert (matches[negative] == BACKGROUND).all()
    assert len({*positive.tolist(), *negative.tolist()}) == len(positive) + len(negative)


def test_objects_are_proposals_too_and_hidden_frames_do_not_count():
    boxes = random_tubes(3, 4)
    visible = torch.tensor([[True] * 4, [True, False, False, True], [False, True, False, False]])
    boxes[~visible] = 0
    sampler = RoiSampler(foreground=0.5, background=0.5, count=64, positive_fraction=0.5, offset=0)
    samples = sampler(random_tubes(20, 4) + 500, targets(boxes, visible))
    found = samples.positive()
    assert sorted(found.labels.tolist()) == [1, 2, 3]
    assert torch.equal(found.labels, found.objects + 1)
    assert torch.equal(torch.where(found.visible()[..., None], found.tubes, 0), found.boxes())
    assert (found.tubes[..., 2:] > found.tubes[..., :2]).all(), "hidden frames have the nearest visible box"
    assert len(samples.labels) == 23


def test_a_clip_without_objects_is_all_background():
    sampler = RoiSampler(foreground=0.5, background=0.5, count=8, positive_fraction=0.5, offset=0)
    samples = sampler(random_tubes(20, 4), targets(torch.zeros(0, 4, 4)))
    assert samples.labels.tolist() == [0] * 8
    assert len(samples.positive().tubes) == 0


def test_visible_frames_point_into_the_targets():
    boxes = random_tubes(2, 3)
    visible = torch.tensor([[True, False, True], [False, True, False]])
    sampler = RoiSampler(foreground=0.5, background=0.5, count=8, positive_fraction=1.0, offset=0)
    frames = VisibleFrames.of(sampler(torch.zeros(0, 3, 4), targets(boxes, visible)).positive())
    assert torch.equal(frames.boxes, boxes.flatten(0, 1)[frames.frames])
    assert sorted(frames.frames.tolist()) == [0, 2, 4]
