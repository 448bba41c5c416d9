"""Pairs of keypoints that are swapped when frames are flipped left to right."""

import re
from collections import Counter
from collections.abc import Sequence

from res3d.structures import Category

# The part of a keypoint name that tells left from right: one of these words, or a single letter that is separate from
# the rest of the name. Examples: left_eye, LEFT_EYE, eyeL, forelegL4, LHip, lEye, leg_l1, eye.l.
SIDE = re.compile(r"(?i:left|right)|(?<![A-Z])[LR](?=[A-Z][a-z]|[^A-Za-z]|$)|(?<![A-Za-z])[lr](?![a-z])")
OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def mirror_pairs(
    categories: Sequence[Category], named: Sequence[tuple[str, str]] | None = None
) -> tuple[tuple[int, int], ...]:
    """Return pairs of indices of keypoints that a left-right flip swaps.

    Args:
        categories: the categories of a dataset; all that have keypoints must have the same ones.
        named: pairs of keypoint names; by default the names that differ only in left and right.

    Raises:
        ValueError: categories have different keypoints, a name is not a keypoint, or a keypoint is in two pairs.
    """
    keypoint_lists = {category.keypoints for category in categories if category.keypoints}
    if len(keypoint_lists) > 1:
        raise ValueError(f"a flip needs classes with the same keypoints, not {sorted(keypoint_lists)}")
    names = next(iter(keypoint_lists), ())
    if named is None:
        named = [(name, other) for name in names if (other := _other_side(name, names))]
    for name in (name for pair in named for name in pair):
        if name not in names:
            raise ValueError(f"pairs: there is no keypoint {name!r} (accepted: {', '.join(names)})")
    counts = Counter(name for pair in named for name in pair)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"pairs: each keypoint can be in one pair only, but {repeated[0]!r} is in several")
    return tuple((names.index(a), names.index(b)) for a, b in named)


def _other_side(name: str, names: Sequence[str]) -> str | None:
    """Return the name of the right counterpart of a left keypoint; None for right and unpaired keypoints.

    If a name contains several sides, the first one decides whether the keypoint is a left one.
    """
    first = SIDE.search(name)
    if first is None or first[0].lower() not in ("left", "l"):
        return None
    mirrored = SIDE.sub(_swap, name)
    return mirrored if mirrored in names else None


def _swap(side: re.Match[str]) -> str:
    """Return the opposite side, in the same letter case."""
    other = OTHER[side[0].lower()]
    if side[0].isupper():
        return other.upper()
    return other.capitalize() if side[0][0].isupper() else other
