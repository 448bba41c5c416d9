"""Average precision of tubes: COCO's, with the IoU averaged over the frames where the true object is visible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from res3d.evaluation.keypoint_scores import REACH
from res3d.ops import tube_iou

RECALLS = 101  # COCO interpolates precision at 0, 0.01, ..., 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TubeScores:
    """Scores over a set of clips; None where there is nothing to score."""

    box_ap: float | None
    mask_ap: float | None
    recall: float | None
    """Share of the objects that some detection of their class matches, by boxes."""
    keypoint_error: float | None
    """Mean distance of keypoints in the frame, in square roots of the box's area, over objects found by their boxes."""
    pck: float | None
    """Share of the known keypoints of all objects that are found within a fifth of the longer side of the box."""
    visibility_error: float | None
    """Share of the frames of objects found by their boxes where visible > 0.5 is wrong."""
    by_class: Mapping[int, float]
    """Box AP by label."""


@torch.no_grad()
def score_tubes(
    results: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]], *, threshold: float = 0.5
) -> TubeScores:
    """Score a detector's results against targets, both as ``MaskRCNN3d`` has them (masks whole).

    Mappings may make their masks on demand: they are asked for one clip at a time.

    A detection is true if its mean IoU with an object of its class that no better detection has is at least
    ``threshold``. Objects that are never visible do not count. AP is the mean over classes with objects.

    Raises:
        ValueError: numbers of clips, or of the frames of one, that differ.
    """
    if len(results) != len(targets):
        raise ValueError(f"results of {len(results)} clips and targets of {len(targets)}")
    if not results:
        return TubeScores(
            box_ap=None, mask_ap=None, recall=None, keypoint_error=None, pck=None, visibility_error=None, by_class={}
        )
    for number, (result, target) in enumerate(zip(results, targets, strict=True)):
        if result["boxes"].shape[1] != target["boxes"].shape[1]:
            frames = f"{result['boxes'].shape[1]} frames, and its targets of {target['boxes'].shape[1]}"
            raise ValueError(f"clip {number}: results of {frames}")
    given = list(zip(results, targets, strict=True))
    pairs = [(r, _visible_objects(t)) for r, t in given]
    boxes = [_Clip.of(r, t, tube_iou(t["boxes"], r["boxes"], visible=t["visible"]), threshold) for r, t in pairs]
    by_class = _average_precisions(boxes)
    masks = None
    if all("masks" in each for each in (*results, *targets)):
        clips = [_Clip.of(*pair, _mask_ious(*sides), threshold) for pair, sides in zip(pairs, given, strict=True)]
        masks = _mean(list(_average_precisions(clips).values()))
    found = [(r, t, clip.matches) for (r, t), clip in zip(pairs, boxes, strict=True)]
    objects = sum(len(clip.truths) for clip in boxes)
    return TubeScores(
        box_ap=_mean(list(by_class.values())),
        mask_ap=masks,
        recall=sum(int((clip.matches >= 0).sum()) for clip in boxes) / objects if objects else None,
        keypoint_error=_keypoint_error(found),
        pck=_pck(found),
        visibility_error=_visibility_error(found),
        by_class=by_class,
    )


@dataclass(frozen=True, slots=True)
class _Clip:
    """One clip's D detections, matched to its G objects."""

    scores: Tensor
    """[D]"""
    labels: Tensor
    """[D]"""
    truths: Tensor
    """[G] labels of the objects."""
    matches: Tensor
    """[D] the object of each detection, -1 for none."""

    @classmethod
    def of(cls, result: Mapping[str, Tensor], target: Mapping[str, Tensor], iou: Tensor, threshold: float) -> "_Clip":
        same = target["labels"][:, None] == result["labels"][None]
        iou = torch.where(same, iou, -1.0)
        matches = torch.full_like(result["labels"], -1)
        for detection in result["scores"].argsort(descending=True, stable=True).tolist():
            if len(iou) and (best := iou[:, detection].max(dim=0)).values >= threshold:
                matches[detection] = best.indices
                iou[best.indices] = -1.0  # taken
        return cls(result["scores"], result["labels"], target["labels"], matches)


def _visible_objects(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    seen = target["visible"].any(dim=1)
    return {name: target[name][seen] for name in target if name != "masks"}


def _mask_ious(result: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
    """Return [G, D] for the G objects that are visible at some time; only here are masks asked for."""
    seen = target["visible"].any(dim=1)
    return _mask_iou(target["masks"][seen], result["masks"][:, :, 0], target["visible"][seen])


def _mask_iou(truth: Tensor, found: Tensor, visible: Tensor) -> Tensor:
    """Return the IoU [G, D] of [G, T, H, W] and [D, T, H, W], bool or probabilities: its mean over visible frames."""
    total = torch.zeros(len(truth), len(found), device=found.device)
    for t in range(truth.shape[1]):
        a, b = truth[:, t].flatten(1).float(), (found[:, t] > 0.5).flatten(1).float()
        shared = a @ b.T
        union = a.sum(dim=1)[:, None] + b.sum(dim=1) - shared
        total += torch.where(visible[:, t, None], shared / union.clamp(min=1), 0)
    return total / visible.sum(dim=1, keepdim=True).clamp(min=1)


def _average_precisions(clips: Sequence[_Clip]) -> dict[int, float]:
    """Return the AP of each class that has objects."""
    truths, labels, scores, true = (
        torch.cat(parts)
        for parts in (
            [c.truths for c in clips],
            [c.labels for c in clips],
            [c.scores for c in clips],
            [c.matches >= 0 for c in clips],
        )
    )
    order = scores.argsort(descending=True, stable=True)
    labels, true = labels[order], true[order]
    return {
        label: _average_precision(true[labels == label], int((truths == label).sum()))
        for label in sorted(set(truths.tolist()))
    }


def _average_precision(true: Tensor, objects: int) -> float:
    """Return COCO's AP: the mean, over 101 recalls, of the best precision at that recall or beyond.

    ``true``: [D] bool, of detections of one class, best first.
    """
    if not len(true):
        return 0.0
    hits = true.double().cumsum(0)
    precision = hits / torch.arange(1, len(true) + 1, device=true.device)
    precision = precision.flip(0).cummax(0).values.flip(0)
    wanted = torch.linspace(0, 1, RECALLS, dtype=torch.float64, device=true.device)
    index = torch.searchsorted(hits / objects, wanted)
    reached = index < len(true)
    return float(torch.where(reached, precision[index.clamp(max=len(true) - 1)], 0).mean())


_Found = tuple[Mapping[str, Tensor], Mapping[str, Tensor], Tensor]


def _keypoint_error(found: Sequence[_Found]) -> float | None:
    errors = []
    for result, target, matches in found:
        if "keypoints" not in result or "keypoints" not in target:
            return None
        rows = matches >= 0
        truth, visible = target["keypoints"][matches[rows]], target["visible"][matches[rows]]
        sides = target["boxes"][matches[rows]]
        area = (sides[..., 2:] - sides[..., :2]).prod(dim=-1)
        distance = (result["keypoints"][rows][..., :2] - truth[..., :2]).norm(dim=-1)
        counted = visible[..., None] & (truth[..., 2] > 0)
        errors.append((distance / area.sqrt().clamp(min=1)[..., None])[counted])
    return _mean(torch.cat(errors).tolist()) if errors else None


def _pck(found: Sequence[_Found]) -> float | None:
    known = correct = 0
    for result, target, matches in found:
        if "keypoints" not in result or "keypoints" not in target:
            return None
        there = target["visible"][..., None] & (target["keypoints"][..., 2] > 0)
        rows = matches >= 0
        boxes, truth = target["boxes"][matches[rows]], target["keypoints"][matches[rows]]
        reach = REACH * (boxes[..., 2:] - boxes[..., :2]).amax(dim=-1)
        distance = (result["keypoints"][rows][..., :2] - truth[..., :2]).norm(dim=-1)
        known += int(there.sum())
        correct += int(((distance <= reach[..., None]) & there[matches[rows]]).sum())
    return correct / known if known else None


def _visibility_error(found: Sequence[_Found]) -> float | None:
    wrong = [
        ((result["visible"][matches >= 0] > 0.5) != target["visible"][matches[matches >= 0]]).flatten()
        for result, target, matches in found
    ]
    return _mean(torch.cat(wrong).double().tolist()) if wrong else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
