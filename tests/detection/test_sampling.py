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
def test_matches_equal_torchvision(keep_best):
    iou = torch.rand(6, 200) * 0.8
    iou[:, 150:] = iou[:, :50]  # ties
    iou[5] *= 0.2  # an object whose best IoU is below both thresholds
    assert torch.equal(match_tubes(iou, 0.7, 0.3, keep_best=keep_best), Matcher(0.7, 0.3, keep_best)(iou))


def test_object_without_overlap_matches_no_tube():
    """Its best IoU is 0, and all tubes tie for it. torchvision's Matcher would match them all."""
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.2, 0.5]])
    assert match_tubes(iou, 0.7, 0.3, keep_best=True).tolist() == [1, BACKGROUND, UNDECIDED]
    assert match_tubes(torch.zeros(0, 3), 0.7, 0.3, keep_best=True).tolist() == [BACKGROUND] * 3


@pytest.mark.parametrize(("positives", "negatives"), [(50, 100), (3, 100), (50, 2), (0, 0)])
def test_numbers_of_samples_equal_torchvision(positives, negatives):
    matches = torch.tensor([0] * positives + [BACKGROUND] * negatives + [UNDECIDED] * 9)
    matches = matches[torch.randperm(len(matches))]
    positive, negative = sample_tubes(matches, 32, 0.25)
    labels = torch.where(matches == UNDECIDED, -1, (matches >= 0).long())
    expected = BalancedPositiveNegativeSampler(32, 0.25)([labels])
    assert (len(positive), len(negative)) == tuple(int(mask[0].sum()) for mask in expected)
    assert (matches[positive] >= 0).all()
    assert (matches[negative] == BACKGROUND).all()
    assert len({*positive.tolist(), *negative.tolist()}) == len(positive) + len(negative)


def test_ground_truth_tubes_are_samples_and_hidden_frames_do_not_count():
    boxes = random_tubes(3, 4)
    visible = torch.tensor([[True] * 4, [True, False, False, True], [False, True, False, False]])
    boxes[~visible] = 0
    sampler = RoiSampler(foreground=0.5, background=0.5, count=64, positive_fraction=0.5, offset=0)
    samples = sampler(random_tubes(20, 4) + 500, targets(boxes, visible))
    positive = samples.positive()
    assert sorted(positive.labels.tolist()) == [1, 2, 3]
    assert torch.equal(positive.labels, positive.objects + 1)
    assert torch.equal(torch.where(positive.visible()[..., None], positive.tubes, 0), positive.boxes())
    assert (positive.tubes[..., 2:] > positive.tubes[..., :2]).all(), "hidden frames have the nearest visible box"
    assert len(samples.labels) == 23


def test_clip_without_objects_has_background_samples_only():
    sampler = RoiSampler(foreground=0.5, background=0.5, count=8, positive_fraction=0.5, offset=0)
    samples = sampler(random_tubes(20, 4), targets(torch.zeros(0, 4, 4)))
    assert samples.labels.tolist() == [0] * 8
    assert len(samples.positive().tubes) == 0


def test_visible_frames_are_rows_of_the_flattened_targets():
    boxes = random_tubes(2, 3)
    visible = torch.tensor([[True, False, True], [False, True, False]])
    sampler = RoiSampler(foreground=0.5, background=0.5, count=8, positive_fraction=1.0, offset=0)
    frames = VisibleFrames.from_samples(sampler(torch.zeros(0, 3, 4), targets(boxes, visible)).positive())
    assert torch.equal(frames.boxes, boxes.flatten(0, 1)[frames.rows])
    assert sorted(frames.rows.tolist()) == [0, 2, 4]
