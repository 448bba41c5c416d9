"""COCO's average precision of boxes, masks and poses, computed by pycocotools without files on disk."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from res3d.evaluation.sequence import FramePair
from res3d.evaluation.similarity import areas_of, sigmas_of
from res3d.settings.types import Json
from res3d.structures import Category, FrameTracks

COCO_NAMES = {"box": "bbox", "mask": "segm", "pose": "keypoints"}
"""pycocotools' names of the kinds of similarity."""
LABEL = 1  # the only category id: one class is scored at a time


def average_precision(pairs: Sequence[FramePair], kind: str, category: Category | None = None) -> dict[str, float]:
    """Return AP (the mean over the thresholds 0.50, 0.55, ..., 0.95), AP50 and AP75 of one class.

    They are NaN if the ground truth has no object. Each frame of a track is one detection with the score of that frame;
    track ids are ignored.

    Args:
        pairs: ground truth and predictions of the class, frame by frame.
        kind: "box", "mask" or "pose".
        category: the class; poses need it for their keypoint sigmas, see ``sigmas_of``.

    Raises:
        ImportError: pycocotools is not installed.
    """
    pairs = [pair for pair in pairs if len(pair.truth) or len(pair.predictions)]
    if not any(len(pair.truth) for pair in pairs):
        return dict.fromkeys(("AP", "AP50", "AP75"), float("nan"))
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ImportError("average precision needs pycocotools: pip install pycocotools") from None
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth, predictions = COCO(), COCO()
        truth.dataset = _dataset([pair.truth for pair in pairs], kind)
        predictions.dataset = _dataset([pair.predictions for pair in pairs], kind)
        truth.createIndex()
        predictions.createIndex()
        scorer = COCOeval(truth, predictions, COCO_NAMES[kind])
        if kind == "pose":
            count = next(f.keypoints.shape[1] for p in pairs for f in (p.truth,) if f.keypoints is not None)
            scorer.params.kpt_oks_sigmas = np.broadcast_to(np.asarray(sigmas_of(category)), (count,))
        # Objects of all sizes, the first range, are the only ones whose precision is read.
        scorer.params.areaRng, scorer.params.areaRngLbl = scorer.params.areaRng[:1], scorer.params.areaRngLbl[:1]
        scorer.evaluate()
        scorer.accumulate()
    precision = scorer.eval["precision"][:, :, 0, 0, -1]  # [thresholds, recalls, categories, sizes, detection limits]
    by_threshold = precision.mean(axis=1)
    return {"AP": float(by_threshold.mean()), "AP50": float(by_threshold[0]), "AP75": float(by_threshold[5])}


def _dataset(frames: Sequence[FrameTracks], kind: str) -> Json:
    """Return the frames as a COCO dataset: frame number n of the list, from 1, is image n."""
    annotations = [entry for number, frame in enumerate(frames, start=1) for entry in _entries(frame, number, kind)]
    for number, entry in enumerate(annotations, start=1):
        entry["id"] = number
    size = {"height": 1, "width": 1}  # required by pycocotools but unused: run-length encoded masks have their size
    images = [{"id": number, **size} for number in range(1, len(frames) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": LABEL, "name": "object"}]}


def _entries(frame: FrameTracks, image: int, kind: str) -> list[Json]:
    """Return the objects of one frame as COCO annotations of ``image``, without their ids."""
    entries = []
    sides = frame.boxes[:, 2:] - frame.boxes[:, :2]
    areas = areas_of(frame)
    for n in range(len(frame)):
        entry: Json = {
            "image_id": image,
            "category_id": LABEL,
            "bbox": [*frame.boxes[n, :2].tolist(), *sides[n].tolist()],
            "area": float(areas[n]),
            "score": float(frame.scores[n]),
            "iscrowd": 0,
        }
        if kind == "mask":
            mask = frame.masks[n] if frame.masks is not None else None
            assert mask is not None  # pair_frames leaves out objects without a mask
            entry["segmentation"] = {"size": list(mask.size), "counts": mask.counts.encode()}
        if kind == "pose":
            assert frame.keypoints is not None  # pair_frames leaves out objects without a pose
            points = frame.keypoints[n].astype(np.float64)
            points[points[:, 2] == 0, :2] = -1e6  # a missing keypoint must not match: place it far outside the frame
            entry["keypoints"] = points.ravel().tolist()
            entry["num_keypoints"] = int((points[:, 2] > 0).sum())
        entries.append(entry)
    return entries
