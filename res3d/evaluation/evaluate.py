"""Predicted tracks against true ones: all videos, all classes, by boxes, masks and poses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from res3d.evaluation.average_precision import average_precision
from res3d.evaluation.keypoint_scores import JointCounts, count_joints
from res3d.evaluation.score_report import KindReport, Report
from res3d.evaluation.sequence import FramePair, pair_frames
from res3d.evaluation.similarity import SIMILARITIES, kinds_of
from res3d.evaluation.switches import find_switches
from res3d.evaluation.tracking_scores import RawScores, combine, score_sequence, summarize
from res3d.structures import Category, Track, VideoTracks

Videos = Mapping[str, VideoTracks]
Key = tuple[str, int]  # video, label


def evaluate(
    predictions: Videos | VideoTracks,
    truth: Videos | VideoTracks,
    *,
    progress: Callable[[str], None] = lambda kind: None,
) -> Report:
    """Score predictions against the ground truth.

    By boxes always; by masks and by poses where both sides have them. Classes go by the names of their categories where
    both sides have names, else by their labels; predictions of classes that the ground truth does not have are left
    out, and the report notes their number.

    Args:
        predictions, truth: videos by name, as ``structures.formats.read_tracks`` gives them, or one video.
        progress: called with each kind of similarity ("box", "mask", "pose") when it is scored.

    Raises:
        ValueError: videos that do not match by name (with or without a suffix like .mp4).
        ImportError: trackeval or pycocotools is not installed.
    """
    if isinstance(predictions, VideoTracks) or isinstance(truth, VideoTracks):
        if not (isinstance(predictions, VideoTracks) and isinstance(truth, VideoTracks)):
            raise ValueError("predictions and truth must both be one video, or both be videos by name")
        predictions, truth = {truth.name: predictions}, {truth.name: truth}
    couples, notes = {}, []
    for name, (found, true) in _match_videos(predictions, truth).items():
        aligned, unknown = _align_labels(found, true)
        couples[name] = (aligned, true)
        notes += [f"{name}: {unknown[label]} predictions of {label} left out: not in the truth" for label in unknown]
    shared = [kinds_of(found) & kinds_of(true) for found, true in couples.values()]
    kinds = [kind for kind in SIMILARITIES if any(kind in have for have in shared)]
    reports = {}
    for kind in kinds:
        reports[kind] = _evaluate_kind(kind, couples)
        progress(kind)
    return Report(kinds=reports, notes=tuple(notes))


def _match_videos(predictions: Videos, truth: Videos) -> dict[str, tuple[VideoTracks, VideoTracks]]:
    """Return pairs (predicted, true) by the names of the ground truth."""
    stems = {Path(name).stem: video for name, video in predictions.items()}
    if len(stems) < len(predictions):
        stems = {}
    couples = {}
    for name, true in truth.items():
        found = predictions.get(name, stems.get(Path(name).stem))
        if found is None:
            raise ValueError(
                f"the ground truth has a video {name!r} that the predictions lack; they have {_listed(predictions)}"
            )
        couples[name] = (found, true)
    known = {Path(name).stem for name in truth} | set(truth)
    if strangers := [name for name in predictions if name not in known and Path(name).stem not in known]:
        raise ValueError(
            f"the predictions have a video {strangers[0]!r} that the ground truth lacks; it has {_listed(truth)}"
        )
    return couples


def _listed(videos: Videos, most: int = 5) -> str:
    names = [repr(name) for name in videos]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _align_labels(found: VideoTracks, truth: VideoTracks) -> tuple[VideoTracks, dict[str, int]]:
    """Return predictions under the truth's labels, and the numbers of boxes of other classes, which are left out."""
    label_of = {category.name: label for label, category in truth.categories.items()}
    kept: list[Track] = []
    unknown: dict[str, int] = {}
    for track in found.tracks:
        category = found.categories.get(track.label)
        label = track.label
        if category is not None and label_of:
            label = label_of.get(category.name, -1)
        elif label_of and label not in truth.categories:
            label = -1
        if label >= 0:
            kept.append(track.relabeled(label))
        else:
            name = f"class {category.name!r}" if category else f"label {track.label}"
            unknown[name] = unknown.get(name, 0) + len(track)
    return found.renamed(tracks=tuple(kept)), unknown


@dataclass(kw_only=True)
class _Parts:
    """Partial results of one class in one video, before they are added up."""

    pairs: list[FramePair]
    tracking: RawScores
    joints: JointCounts | None


def _evaluate_kind(kind: str, couples: Mapping[str, tuple[VideoTracks, VideoTracks]]) -> KindReport:
    categories = {label: c for _, truth in couples.values() for label, c in truth.categories.items()}
    parts: dict[Key, _Parts] = {}
    for name, (found, truth) in couples.items():
        for label in sorted({track.label for track in (*truth.tracks, *found.tracks)}):
            pairs = pair_frames(truth, found, label=label, kind=kind, category=categories.get(label))
            if not any(len(pair.truth) or len(pair.found) for pair in pairs):
                continue
            joints = count_joints(pairs) if kind == "pose" else None
            parts[name, label] = _Parts(pairs=pairs, tracking=score_sequence(pairs), joints=joints)
    labels = sorted({label for _, label in parts})
    names = {label: categories[label].name if label in categories else str(label) for label in labels}
    switches = [
        (video, names[label], switch) for (video, label), part in parts.items() for switch in find_switches(part.pairs)
    ]
    return KindReport(
        videos={video: _scores(kind, [k for k in parts if k[0] == video], parts, categories) for video in couples},
        classes={
            names[label]: _scores(kind, [k for k in parts if k[1] == label], parts, categories) for label in labels
        },
        total=_scores(kind, list(parts), parts, categories),
        joints=_joints(parts, categories) if kind == "pose" else {},
        switches=tuple(switches),
    )


def _scores(
    kind: str, keys: Sequence[Key], parts: Mapping[Key, _Parts], categories: Mapping[int, Category]
) -> dict[str, float]:
    """Return tracking scores as if all were one sequence, and the mean over classes of the AP over all videos."""
    scores = summarize(combine([parts[key].tracking for key in keys]))
    by_class = []
    for label in sorted({label for _, label in keys}):
        pairs = [pair for key in keys if key[1] == label for pair in parts[key].pairs]
        by_class.append(average_precision(pairs, kind, categories.get(label)))
    for name in ("AP", "AP50", "AP75"):
        values = [score[name] for score in by_class if not np.isnan(score[name])]
        scores[name] = float(np.mean(values)) if values else float("nan")
    counts = [joints for key in keys if (joints := parts[key].joints) is not None]
    if counts:
        known = sum(int(joints.known.sum()) for joints in counts)
        scores["PCK"] = sum(int(joints.correct.sum()) for joints in counts) / known if known else float("nan")
    return scores


def _joints(parts: Mapping[Key, _Parts], categories: Mapping[int, Category]) -> dict[str, float]:
    """Return PCK by "class: joint" over all videos."""
    totals: dict[int, JointCounts] = {}
    for (_, label), part in parts.items():
        if part.joints is not None:
            totals[label] = totals[label] + part.joints if label in totals else part.joints
    scores = {}
    for label, counts in totals.items():
        category = categories.get(label)
        count = len(counts.known)
        names = category.keypoints if category and len(category.keypoints) == count else tuple(map(str, range(count)))
        shown = category.name if category else str(label)
        for name, known, correct in zip(names, counts.known, counts.correct, strict=True):
            scores[f"{shown}: {name}"] = float(correct / known) if known else float("nan")
    return scores
