"""Matching of tubes with ground-truth objects, and sampling of the tubes that losses are computed on."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from res3d.detection.targets import ClipTargets
from res3d.ops.tubes import fill_hidden, tube_iou

BACKGROUND, UNDECIDED = -1, -2


def match_tubes(iou: Tensor, foreground: float, background: float, *, keep_best: bool) -> Tensor:
    """Return the index of each tube's object, BACKGROUND or UNDECIDED: [M].

    Args:
        iou: [G, M], mean over the frames where the object is visible.
        foreground: a tube whose highest IoU is at least this matches the object of that IoU.
        background: a tube whose highest IoU is below this is BACKGROUND. Between the two thresholds it is UNDECIDED.
        keep_best: the tubes with the highest IoU of an object, if it is above 0, match in any case: each matches the
            object that it overlaps most (Ren et al. 2015). All tubes of a tie match.
    """
    if not iou.shape[0]:
        return torch.full((iou.shape[1],), BACKGROUND, device=iou.device)
    best, objects = iou.max(dim=0)
    matches = torch.where(best < foreground, UNDECIDED, objects)
    matches = torch.where(best < background, BACKGROUND, matches)
    if keep_best and iou.shape[1]:
        top = iou.max(dim=1, keepdim=True).values
        matches = torch.where(((iou == top) & (top > 0)).any(dim=0), objects, matches)
    return matches


def sample_tubes(matches: Tensor, count: int, positive_fraction: float) -> tuple[Tensor, Tensor]:
    """Return random indices of positive and of negative tubes.

    Args:
        matches: [M] from ``match_tubes``.
        count: maximum number of tubes in total.
        positive_fraction: maximum fraction of ``count`` that is positive.
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
    """Sampled tubes of one clip, and the object that each matches. S tubes, T frames."""

    tubes: Tensor
    """[S, T, 4] xyxy."""
    labels: Tensor
    """[S] int64, 0 for background."""
    objects: Tensor
    """[S] indices of the objects in ``targets``; undefined for background."""
    targets: ClipTargets
    """All objects of the clip."""

    def positive(self) -> "Samples":
        """Return the samples that match an object."""
        mask = self.labels > 0
        return Samples(
            tubes=self.tubes[mask], labels=self.labels[mask], objects=self.objects[mask], targets=self.targets
        )

    def boxes(self) -> Tensor:
        """Return the ground-truth boxes [S, T, 4]; only valid for positive samples."""
        return self.targets.boxes[self.objects]

    def visible(self) -> Tensor:
        """Return the frames where the object is visible, [S, T] bool; only valid for positive samples."""
        return self.targets.visible[self.objects]


class VisibleFrames(NamedTuple):
    """Single-frame boxes of positive samples, from the V frames in which their objects are visible."""

    boxes: Tensor
    """[V, 4] xyxy."""
    rows: Tensor
    """[V] object · T + frame: rows of the clip's targets with the axes of objects and frames flattened into one."""

    @classmethod
    def from_samples(cls, samples: Samples) -> "VisibleFrames":
        """Return the boxes of positive samples where their objects are visible."""
        indices, frames = torch.where(samples.visible())
        return cls(samples.tubes[indices, frames], samples.objects[indices] * samples.tubes.shape[1] + frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoiSampler:
    """Sampler of the proposals and ground-truth tubes that the heads are trained on."""

    foreground: float
    """See ``match_tubes``."""
    background: float
    """See ``match_tubes``."""
    count: int
    """Maximum number of samples per clip."""
    positive_fraction: float
    """Maximum fraction of ``count`` that is positive."""
    offset: int
    """Pixel convention, see ``res3d.ops.tubes``."""

    def __call__(self, proposals: Tensor, targets: ClipTargets) -> Samples:
        """Return at most ``count`` samples of a clip with proposals [P, T, 4].

        The ground-truth tubes are candidates too. In frames where an object is hidden, its tube has the box of the
        nearest visible frame.
        """
        object_tubes = fill_hidden(targets.boxes, targets.visible).to(proposals.dtype)
        tubes = torch.cat([proposals, object_tubes])
        iou = tube_iou(targets.boxes.to(tubes.dtype), tubes, visible=targets.visible, offset=self.offset)
        matches = match_tubes(iou, self.foreground, self.background, keep_best=False)
        indices = torch.cat(sample_tubes(matches, self.count, self.positive_fraction))
        objects = matches[indices]
        if len(targets.labels):
            labels = torch.where(objects >= 0, targets.labels[objects.clamp(min=0)], 0)
        else:
            labels = objects.new_zeros(len(indices))
        return Samples(tubes=tubes[indices], labels=labels, objects=objects.clamp(min=0), targets=targets)
