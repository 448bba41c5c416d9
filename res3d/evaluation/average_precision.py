"""COCO's average precision of boxes, masks and poses, computed by pycocotools from memory."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from res3d.evaluation.sequence import FramePair
from res3d.evaluation.similarity import areas_of, sigmas_of
from res3d.settings.types import Json
from res3d.structures import Category, FrameTracks

COCO_NAMES = {"box": "bbox", "mask": "segm", "pose": "keypoints"}  # our kinds of similarity, and COCO's
LABEL = 1  # one class is scored at a time


def average_precision(pairs: Sequence[FramePair], kind: str, category: Category | None = None) -> dict[str, float]:
    """AP (mean over the thresholds 0.5 to 0.95), AP50 and AP75 of one class; NaN where there is no true object.

    Ids play no part. A track's objects are ranked by their scores in each frame.
    """
    pairs = [pair for pair in pairs if len(pair.truth) or len(pair.found)]
    if not any(len(pair.truth) for pair in pairs):
        return dict.fromkeys(("AP", "AP50", "AP75"), float("nan"))
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ImportError("average precision needs pycocotools: pip install pycocotools") from None
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
        truth, found = COCO(), COCO()
        truth.dataset = _dataset([pair.truth for pair in pairs], kind)
        found.dataset = _dataset([pair.found for pair in pairs], kind)
        truth.createIndex()
        found.createIndex()
        scorer = COCOeval(truth, found, COCO_NAMES[kind])
        if kind == "pose":
            count = next(f.keypoints.shape[1] for p in pairs for f in (p.truth,) if f.keypoints is not None)
            scorer.params.kpt_oks_sigmas = np.broadcast_to(np.asarray(sigmas_of(category)), (count,))
        scorer.evaluate()
        scorer.accumulate()
    precision = scorer.eval["precision"][:, :, 0, 0, -1]  # thresholds, recalls; of all sizes, at the most detections
    by_threshold = precision.mean(axis=1)
    return {"AP": float(by_threshold.mean()), "AP50": float(by_threshold[0]), "AP75": float(by_threshold[5])}


def _dataset(frames: Sequence[FrameTracks], kind: str) -> Json:
    annotations = [entry for number, frame in enumerate(frames, start=1) for entry in _entries(frame, number, kind)]
    for number, entry in enumerate(annotations, start=1):
        entry["id"] = number
    unused = {"height": 1, "width": 1}  # asked for, though run lengths have a size of their own
    images = [{"id": number, **unused} for number in range(1, len(frames) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": LABEL, "name": "object"}]}


def _entries(frame: FrameTracks, image: int, kind: str) -> list[Json]:
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
            assert mask is not None  # those without were left out before
            entry["segmentation"] = {"size": list(mask.size), "counts": mask.counts.encode()}
        if kind == "pose":
            assert frame.keypoints is not None  # those without were left out before
            points = frame.keypoints[n].astype(np.float64)
            points[points[:, 2] == 0, :2] = -1e6  # not found: far from everything
            entry["keypoints"] = points.ravel().tolist()
            entry["num_keypoints"] = int((points[:, 2] > 0).sum())
        entries.append(entry)
    return entries
