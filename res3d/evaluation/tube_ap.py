"""``score_tubes``: scores of a detector's tubes. AP is COCO's, with the mean IoU over the object's visible frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from res3d.evaluation.keypoint_scores import PCK_THRESHOLD
from res3d.ops import tube_iou

RECALL_LEVELS = 101  # COCO interpolates the precision at recalls 0, 0.01, ..., 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TubeScores:
    """Scores over a set of clips; None where a score is undefined.

    A detected object is one that a detection matches by its boxes, see ``score_tubes``.
    """

    box_ap: float | None
    """AP by boxes, the mean over classes."""
    mask_ap: float | None
    """AP by masks, the mean over classes."""
    recall: float | None
    """Fraction of the objects that are detected."""
    keypoint_error: float | None
    """Mean distance of the keypoints of detected objects, divided by the square root of the box area."""
    pck: float | None
    """PCK@0.2: fraction of the annotated keypoints of all objects whose distance is at most a fifth of the longer side
    of the box. Keypoints of objects that are not detected are wrong."""
    visibility_error: float | None
    """Fraction of the frames of detected objects in which the predicted visibility, visible > 0.5, is wrong."""
    by_class: Mapping[int, float]
    """AP by boxes of each label."""


@torch.no_grad()
def score_tubes(
    results: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]], *, threshold: float = 0.5
) -> TubeScores:
    """Score a detector's results against targets.

    Detections match in order of their score, best first. A detection matches the object of its class with the highest
    mean IoU, of those that no better detection matches, if that IoU is at least ``threshold``. Objects that are never
    visible do not count. AP is the mean over the classes that have objects.

    Args:
        results: results of ``MaskRCNN3d`` in eval mode, one per clip. Mappings may compute "masks" on access: masks of
            only one clip at a time are kept in memory.
        targets: targets of the clips, as for training.
        threshold: minimum IoU of a match.

    Raises:
        ValueError: results and targets have different numbers of clips, or of frames in a clip.
    """
    if len(results) != len(targets):
        raise ValueError(f"results and targets must have equally many clips, not {len(results)} and {len(targets)}")
    if not results:
        return TubeScores(
            box_ap=None, mask_ap=None, recall=None, keypoint_error=None, pck=None, visibility_error=None, by_class={}
        )
    for number, (result, target) in enumerate(zip(results, targets, strict=True)):
        if result["boxes"].shape[1] != target["boxes"].shape[1]:
            counts = f"{result['boxes'].shape[1]} and {target['boxes'].shape[1]}"
            raise ValueError(f"clip {number}: results and targets must have equally many frames, not {counts}")
    pairs = [(result, _visible_objects(target)) for result, target in zip(results, targets, strict=True)]
    clips = [
        _MatchedClip.match(r, t, tube_iou(t["boxes"], r["boxes"], visible=t["visible"]), threshold) for r, t in pairs
    ]
    by_class = _average_precisions(clips)
    mask_ap = None
    if all("masks" in mapping for mapping in (*results, *targets)):
        mask_clips = [
            _MatchedClip.match(*pair, _mask_ious(result, target), threshold)
            for pair, result, target in zip(pairs, results, targets, strict=True)
        ]
        mask_ap = _mean(list(_average_precisions(mask_clips).values()))
    matched = [(result, target, clip.matches) for (result, target), clip in zip(pairs, clips, strict=True)]
    objects = sum(len(clip.truth_labels) for clip in clips)
    return TubeScores(
        box_ap=_mean(list(by_class.values())),
        mask_ap=mask_ap,
        recall=sum(int((clip.matches >= 0).sum()) for clip in clips) / objects if objects else None,
        keypoint_error=_keypoint_error(matched),
        pck=_pck(matched),
        visibility_error=_visibility_error(matched),
        by_class=by_class,
    )


@dataclass(frozen=True, slots=True)
class _MatchedClip:
    """Matches of one clip's D detections with its G objects."""

    scores: Tensor
    """[D] scores of the detections."""
    labels: Tensor
    """[D] labels of the detections."""
    truth_labels: Tensor
    """[G] labels of the objects."""
    matches: Tensor
    """[D] index of the object that each detection matches, or -1."""

    @classmethod
    def match(
        cls, result: Mapping[str, Tensor], target: Mapping[str, Tensor], iou: Tensor, threshold: float
    ) -> "_MatchedClip":
        """Match detections and objects by their ``iou`` [G, D], see ``score_tubes``."""
        same_class = target["labels"][:, None] == result["labels"][None]
        iou = torch.where(same_class, iou, -1.0)
        matches = torch.full_like(result["labels"], -1)
        for detection in result["scores"].argsort(descending=True, stable=True).tolist():
            if len(iou) and (best := iou[:, detection].max(dim=0)).values >= threshold:
                matches[detection] = best.indices
                iou[best.indices] = -1.0  # the object cannot match again
        return cls(result["scores"], result["labels"], target["labels"], matches)


def _visible_objects(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a target without its masks and without objects that are never visible."""
    ever_visible = target["visible"].any(dim=1)
    return {name: target[name][ever_visible] for name in target if name != "masks"}


def _mask_ious(result: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
    """Return the mask IoU [G, D] of one clip, for its G objects that are ever visible.

    This is the only function that reads masks, so that they are in memory for one clip at a time.
    """
    ever_visible = target["visible"].any(dim=1)
    return _mask_iou(target["masks"][ever_visible], result["masks"][:, :, 0], target["visible"][ever_visible])


def _mask_iou(truth: Tensor, predictions: Tensor, visible: Tensor) -> Tensor:
    """Return the mean IoU [G, D] over visible frames of masks [G, T, H, W] and probabilities [D, T, H, W]."""
    total = torch.zeros(len(truth), len(predictions), device=predictions.device)
    for t in range(truth.shape[1]):
        a, b = truth[:, t].flatten(1).float(), (predictions[:, t] > 0.5).flatten(1).float()
        intersection = a @ b.T
        union = a.sum(dim=1)[:, None] + b.sum(dim=1) - intersection
        total += torch.where(visible[:, t, None], intersection / union.clamp(min=1), 0)
    return total / visible.sum(dim=1, keepdim=True).clamp(min=1)


def _average_precisions(clips: Sequence[_MatchedClip]) -> dict[int, float]:
    """Return the AP of each class that has objects, by label."""
    truth_labels, labels, scores, is_true = (
        torch.cat(parts)
        for parts in (
            [c.truth_labels for c in clips],
            [c.labels for c in clips],
            [c.scores for c in clips],
            [c.matches >= 0 for c in clips],
        )
    )
    order = scores.argsort(descending=True, stable=True)
    labels, is_true = labels[order], is_true[order]
    return {
        label: _average_precision(is_true[labels == label], int((truth_labels == label).sum()))
        for label in sorted(set(truth_labels.tolist()))
    }


def _average_precision(is_true: Tensor, objects: int) -> float:
    """Return COCO's AP: the mean over 101 recalls of the best precision at that recall or above.

    Args:
        is_true: [D] bool, whether each detection of one class matches an object, best detection first.
        objects: number of objects of the class.
    """
    if not len(is_true):
        return 0.0
    true_positives = is_true.double().cumsum(0)
    precision = true_positives / torch.arange(1, len(is_true) + 1, device=is_true.device)
    precision = precision.flip(0).cummax(0).values.flip(0)
    recalls = torch.linspace(0, 1, RECALL_LEVELS, dtype=torch.float64, device=is_true.device)
    index = torch.searchsorted(true_positives / objects, recalls)
    reached = index < len(is_true)
    return float(torch.where(reached, precision[index.clamp(max=len(is_true) - 1)], 0).mean())


_Matched = tuple[Mapping[str, Tensor], Mapping[str, Tensor], Tensor]
"""Result and target of one clip, and ``_MatchedClip.matches``."""


def _keypoint_error(clips: Sequence[_Matched]) -> float | None:
    errors = []
    for result, target, matches in clips:
        if "keypoints" not in result or "keypoints" not in target:
            return None
        rows = matches >= 0
        truth, visible = target["keypoints"][matches[rows]], target["visible"][matches[rows]]
        boxes = target["boxes"][matches[rows]]
        area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
        distance = (result["keypoints"][rows][..., :2] - truth[..., :2]).norm(dim=-1)
        counted = visible[..., None] & (truth[..., 2] > 0)
        errors.append((distance / area.sqrt().clamp(min=1)[..., None])[counted])
    return _mean(torch.cat(errors).tolist()) if errors else None


def _pck(clips: Sequence[_Matched]) -> float | None:
    annotated = correct = 0
    for result, target, matches in clips:
        if "keypoints" not in result or "keypoints" not in target:
            return None
        is_annotated = target["visible"][..., None] & (target["keypoints"][..., 2] > 0)
        rows = matches >= 0
        boxes, truth = target["boxes"][matches[rows]], target["keypoints"][matches[rows]]
        threshold = PCK_THRESHOLD * (boxes[..., 2:] - boxes[..., :2]).amax(dim=-1)
        distance = (result["keypoints"][rows][..., :2] - truth[..., :2]).norm(dim=-1)
        annotated += int(is_annotated.sum())
        correct += int(((distance <= threshold[..., None]) & is_annotated[matches[rows]]).sum())
    return correct / annotated if annotated else None


def _visibility_error(clips: Sequence[_Matched]) -> float | None:
    wrong = [
        ((result["visible"][matches >= 0] > 0.5) != target["visible"][matches[matches >= 0]]).flatten()
        for result, target, matches in clips
    ]
    return _mean(torch.cat(wrong).double().tolist()) if wrong else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
