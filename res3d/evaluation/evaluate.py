"""``evaluate``: scores of predicted tracks for all videos and classes, by boxes, masks and poses."""

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

Videos = Mapping[str, VideoTracks]  # by name
Key = tuple[str, int]  # (name of the video, label)


def evaluate(
    predictions: Videos | VideoTracks,
    truth: Videos | VideoTracks,
    *,
    progress: Callable[[str], None] = lambda kind: None,
) -> Report:
    """Score predictions against the ground truth.

    Tracks are compared by boxes, and also by masks and by poses if both sides have them. Classes are matched by the
    names of their categories if both sides have names, else by their labels. Predictions of classes that the ground
    truth does not have are excluded; the notes of the report have their numbers.

    Args:
        predictions: videos by name, as returned by ``structures.formats.read_tracks``, or one video.
        truth: the ground truth, in the same form.
        progress: called with each kind of similarity ("box", "mask", "pose") after it is scored.

    Raises:
        ValueError: a video is missing on one side (names are matched with or without a suffix like .mp4), or the two
            sides have different numbers of keypoints.
        ImportError: trackeval or pycocotools is not installed.
    """
    if isinstance(predictions, VideoTracks) or isinstance(truth, VideoTracks):
        if not (isinstance(predictions, VideoTracks) and isinstance(truth, VideoTracks)):
            raise ValueError("predictions and truth must both be one video, or both be videos by name")
        predictions, truth = {truth.name: predictions}, {truth.name: truth}
    couples, notes = {}, []
    for name, (predicted, true) in _match_videos(predictions, truth).items():
        aligned, excluded = _align_labels(predicted, true)
        couples[name] = (aligned, true)
        notes += [
            f"{name}: {count} predictions of {label} excluded: the ground truth has no such class"
            for label, count in excluded.items()
        ]
    shared_kinds = [kinds_of(predicted) & kinds_of(true) for predicted, true in couples.values()]
    reports = {}
    for kind in SIMILARITIES:
        if any(kind in kinds for kinds in shared_kinds):
            reports[kind] = _evaluate_kind(kind, couples)
            progress(kind)
    return Report(kinds=reports, notes=tuple(notes))


def _match_videos(predictions: Videos, truth: Videos) -> dict[str, tuple[VideoTracks, VideoTracks]]:
    """Return (predictions, ground truth) of each video, by its name in the ground truth."""
    stems = {Path(name).stem: video for name, video in predictions.items()}
    if len(stems) < len(predictions):  # ambiguous: only whole names match
        stems = {}
    couples = {}
    for name, true in truth.items():
        predicted = predictions.get(name, stems.get(Path(name).stem))
        if predicted is None:
            raise ValueError(
                f"the ground truth has a video {name!r} that the predictions lack; they have {_list_names(predictions)}"
            )
        couples[name] = (predicted, true)
    accepted = {Path(name).stem for name in truth} | set(truth)
    if extra := [name for name in predictions if name not in accepted and Path(name).stem not in accepted]:
        raise ValueError(
            f"the predictions have a video {extra[0]!r} that the ground truth lacks; it has {_list_names(truth)}"
        )
    return couples


def _list_names(videos: Videos, limit: int = 5) -> str:
    """Return the names of the first videos, and the number of further ones, for messages."""
    names = [repr(name) for name in videos]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _align_labels(predictions: VideoTracks, truth: VideoTracks) -> tuple[VideoTracks, dict[str, int]]:
    """Return the predictions with the labels of the ground truth, and the numbers of excluded boxes by class."""
    label_of = {category.name: label for label, category in truth.categories.items()}
    tracks: list[Track] = []
    excluded: dict[str, int] = {}
    for track in predictions.tracks:
        category = predictions.categories.get(track.label)
        label = track.label
        if category is not None and label_of:
            label = label_of.get(category.name, -1)
        elif label_of and label not in truth.categories:
            label = -1
        if label >= 0:
            tracks.append(track.relabeled(label))
        else:
            name = f"class {category.name!r}" if category else f"label {track.label}"
            excluded[name] = excluded.get(name, 0) + len(track)
    return predictions.renamed(tracks=tuple(tracks)), excluded


@dataclass(kw_only=True)
class _Parts:
    """Partial results of one class in one video, which are combined into scores of videos, classes and the total."""

    pairs: list[FramePair]
    tracking: RawScores
    joints: JointCounts | None


def _evaluate_kind(kind: str, couples: Mapping[str, tuple[VideoTracks, VideoTracks]]) -> KindReport:
    """Return the report of one kind of similarity. ``couples``: predictions and ground truth by video."""
    categories = {label: c for _, truth in couples.values() for label, c in truth.categories.items()}
    parts: dict[Key, _Parts] = {}
    for name, (predictions, truth) in couples.items():
        for label in sorted({track.label for track in (*truth.tracks, *predictions.tracks)}):
            pairs = pair_frames(truth, predictions, label=label, kind=kind, category=categories.get(label))
            if not any(len(pair.truth) or len(pair.predictions) for pair in pairs):
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
    """Return the scores of several parts.

    Tracking scores and PCK are those of all parts as one sequence. AP is computed for each class over its videos, then
    averaged over the classes.
    """
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
        annotated = sum(int(joints.annotated.sum()) for joints in counts)
        scores["PCK"] = sum(int(joints.correct.sum()) for joints in counts) / annotated if annotated else float("nan")
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
        count = len(counts.annotated)
        names = category.keypoints if category and len(category.keypoints) == count else tuple(map(str, range(count)))
        class_name = category.name if category else str(label)
        for name, annotated, correct in zip(names, counts.annotated, counts.correct, strict=True):
            scores[f"{class_name}: {name}"] = float(correct / annotated) if annotated else float("nan")
    return scores
