"""Keypoints that change places when a picture's left and right are swapped."""

import re
from collections import Counter
from collections.abc import Sequence

from res3d.structures import Category

# What tells left from right in a name: the words, or a letter that is a word of its own. left_eye, LEFT_EYE, eyeL,
# forelegL4, LHip, lEye, leg_l1, eye.l.
SIDE = re.compile(r"(?i:left|right)|(?<![A-Z])[LR](?=[A-Z][a-z]|[^A-Za-z]|$)|(?<![A-Za-z])[lr](?![a-z])")
OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def mirror_pairs(
    categories: Sequence[Category], named: Sequence[tuple[str, str]] | None = None
) -> tuple[tuple[int, int], ...]:
    """Positions of keypoints of which one becomes the other.

    Args:
        categories: that have one list of keypoints, or none.
        named: pairs by name; by default those whose names say left and right.

    Raises:
        ValueError: categories whose keypoints differ, a name that is none of them, or one that is in two pairs.
    """
    lists = {category.keypoints for category in categories if category.keypoints}
    if len(lists) > 1:
        raise ValueError(f"classes with different keypoints have no common pairs to swap: {sorted(lists)}")
    names = next(iter(lists), ())
    if named is None:
        named = [(name, other) for name in names if (other := _other_side(name, names))]
    for name in (name for pair in named for name in pair):
        if name not in names:
            raise ValueError(f"pairs: there is no keypoint {name!r} (accepted: {', '.join(names)})")
    if twice := [name for name, count in Counter(name for pair in named for name in pair).items() if count > 1]:
        raise ValueError(f"pairs: a keypoint changes places with one other, and {twice[0]!r} is there twice")
    return tuple((names.index(a), names.index(b)) for a, b in named)


def _other_side(name: str, names: Sequence[str]) -> str | None:
    """The name on the other side of one that says left, or says so first."""
    first = SIDE.search(name)
    if first is None or first[0].lower() not in ("left", "l"):
        return None
    mirrored = SIDE.sub(_swap, name)
    return mirrored if mirrored in names else None


def _swap(side: re.Match[str]) -> str:
    other = OTHER[side[0].lower()]
    if side[0].isupper():
        return other.upper()
    return other.capitalize() if side[0][0].isupper() else other
