"""Categories as COCO's files hold them: keypoints by name, edges of the skeleton counted from 1."""

from collections.abc import Iterable, Mapping
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


def add_unnamed(categories: Mapping[int, Category], labels: Iterable[int]) -> dict[int, Category]:
    """``categories`` and one for every other label: COCO's tools want them all. It is called by its number."""
    return {**categories, **{n: Category(name=str(n)) for n in sorted(set(labels) - set(categories))}}


def read_categories(entries: Iterable[Mapping[str, Any]], labels: Iterable[int]) -> dict[int, Category]:
    """By label; one that is called by its number is none to us.

    Raises:
        ValueError, KeyError or TypeError: an entry that is none, or, where any are listed, one of ``labels`` that is
            not.
    """
    named = {int(entry["id"]): read_category(entry) for entry in entries}
    if named and (unknown := sorted(set(labels) - set(named))):
        accepted = ", ".join(map(str, named))
        raise ValueError(f"an annotation is of category {unknown[0]}, which is not listed (accepted: {accepted})")
    return {label: category for label, category in named.items() if category != Category(name=str(label))}
