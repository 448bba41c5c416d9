"""Keypoints that change places when a picture's left and right are swapped."""

import re
from collections.abc import Sequence

from res3d.structures import Category

# What tells left from right in a name, and what stands there on the other side: left_eye, eyeL, forelegL4, eye_l.
SIDES = (("left", "right"), ("Left", "Right"), (r"L(?=\d*$)", "R"), (r"(?<=_)l$", "r"), (r"^l(?=_)", "r"))


def mirror_pairs(
    categories: Sequence[Category], named: Sequence[tuple[str, str]] | None = None
) -> tuple[tuple[int, int], ...]:
    """Positions of keypoints of which one becomes the other.

    Args:
        categories: that have one list of keypoints, or none.
        named: pairs by name; by default those whose names say left and right.

    Raises:
        ValueError: categories whose keypoints differ, or a name that is none of them.
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
    return tuple((names.index(a), names.index(b)) for a, b in named)


def _other_side(name: str, names: Sequence[str]) -> str | None:
    """The name on the other side of one that says left."""
    for pattern, right in SIDES:
        mirrored = re.sub(pattern, right, name)
        if mirrored != name and mirrored in names:
            return mirrored
    return None
