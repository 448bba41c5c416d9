"""Categories as COCO's files hold them: keypoints by name, edges of the skeleton counted from 1."""

from collections.abc import Mapping
from typing import Any

from res3d.structures.category import Category


def category_entry(label: int, category: Category) -> dict[str, Any]:
    """What a file holds of a category."""
    entry: dict[str, Any] = {"id": label, "name": category.name}
    if category.keypoints:
        entry["keypoints"] = list(category.keypoints)
        entry["skeleton"] = [[a + 1, b + 1] for a, b in category.skeleton]
    return entry


def read_category(entry: Mapping[str, Any]) -> Category:
    """The category of a file's entry. ValueError, KeyError or TypeError for one that is none."""
    edges = tuple((int(a) - 1, int(b) - 1) for a, b in entry.get("skeleton") or ())
    return Category(name=str(entry["name"]), keypoints=tuple(entry.get("keypoints") or ()), skeleton=edges)
