"""Matching of tubes with objects, and sampling of those that losses are computed on."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from res3d.detection.targets import ClipTargets
from res3d.ops.tubes import fill_hidden, tube_iou

BACKGROUND, UNDECIDED = -1, -2


def match_tubes(iou: Tensor, foreground: float, background: float, *, keep_best: bool) -> Tensor:
    """The object of each tube, [M], or BACKGROUND (below ``background``) or UNDECIDED (between the two thresholds).

    Args:
        iou: [G, M], mean over the frames where the object is visible.
        foreground: from here on, a tube stands for the object that it overlaps most.
        background: below, for none.
        keep_best: tubes that overlap some object more than all other tubes do stand for the object that they overlap
            most, however little that is (Ren et al. 2015); ties included.
    """
    if not iou.shape[0]:
        return torch.full((iou.shape[1],), BACKGROUND, device=iou.device)
    best, matches = iou.max(dim=0)
    decided = torch.where(best < foreground, UNDECIDED, matches)
    decided = torch.where(best < background, BACKGROUND, decided)
    if keep_best and iou.shape[1]:
        top = iou.max(dim=1, keepdim=True).values
        decided = torch.where(((iou == top) & (top > 0)).any(dim=0), matches, decided)
    return decided


def sample_tubes(matches: Tensor, count: int, positive_fraction: float) -> tuple[Tensor, Tensor]:
    """Random indices of positives and of negatives: at most ``count`` in all, at most a share of them positive.

    ``matches``: [M] as ``match_tubes`` gives them.
    """
    positive, negative = torch.where(matches >= 0)[0], torch.where(matches == BACKGROUND)[0]
    positives = min(len(positive), int(count * positive_fraction))
    negatives = min(len(negative), count - positives)
    return (
        positive[torch.randperm(len(positive), device=matches.device)[:positives]],
        negative[torch.randperm(len(negative), device=matches.device)[:negatives]],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Tubes of one clip to learn from, and the object that each stands for. S tubes, T frames."""

    tubes: Tensor
    """[S, T, 4]."""
    labels: Tensor
    """[S], 0 for background."""
    objects: Tensor
    """[S] rows of the clip's targets; without meaning for background."""
    targets: ClipTargets

    def positive(self) -> "Samples":
        """Those that stand for an object."""
        kept = self.labels > 0
        return Samples(
            tubes=self.tubes[kept], labels=self.labels[kept], objects=self.objects[kept], targets=self.targets
        )

    def boxes(self) -> Tensor:
        """[S, T, 4] of the objects; for positives only."""
        return self.targets.boxes[self.objects]

    def visible(self) -> Tensor:
        """[S, T] bool, where the object is visible; for positives only."""
        return self.targets.visible[self.objects]


class VisibleFrames(NamedTuple):
    """The frames of positive samples in which their objects are visible, as separate boxes. V of them."""

    boxes: Tensor
    """[V, 4]."""
    frames: Tensor
    """[V], object · T + frame: rows of the clip's targets with objects and frames in one axis."""

    @classmethod
    def of(cls, samples: Samples) -> "VisibleFrames":
        rows, frames = torch.where(samples.visible())
        return cls(samples.tubes[rows, frames], samples.objects[rows] * samples.tubes.shape[1] + frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoiSampler:
    """Proposals, and the objects themselves, as samples for the heads."""

    foreground: float
    background: float
    count: int
    positive_fraction: float
    offset: int

    def __call__(self, proposals: Tensor, targets: ClipTargets) -> Samples:
        """[P, T, 4] proposals of a clip -> at most ``count`` samples.

        The object's own tube is a proposal too, with the nearest visible box in the frames where it is hidden.
        """
        own = fill_hidden(targets.boxes, targets.visible).to(proposals.dtype)
        tubes = torch.cat([proposals, own])
        iou = tube_iou(targets.boxes.to(tubes.dtype), tubes, visible=targets.visible, offset=self.offset)
        matches = match_tubes(iou, self.foreground, self.background, keep_best=False)
        chosen = torch.cat(sample_tubes(matches, self.count, self.positive_fraction))
        objects = matches[chosen]
        if len(targets.labels):
            labels = torch.where(objects >= 0, targets.labels[objects.clamp(min=0)], 0)
        else:
            labels = objects.new_zeros(len(chosen))
        return Samples(tubes=tubes[chosen], labels=labels, objects=objects.clamp(min=0), targets=targets)
