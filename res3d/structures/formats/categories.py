"""Conversion of categories to and from COCO's files, whose skeleton edges number keypoints from 1."""

from collections.abc import Iterable, Mapping

from res3d.settings.types import Json
from res3d.structures.category import Category


def category_entry(label: int, category: Category) -> Json:
    """Return a category as an entry of a file's ``categories``."""
    entry: Json = {"id": label, "name": category.name}
    if category.keypoints:
        entry["keypoints"] = list(category.keypoints)
        entry["skeleton"] = [[a + 1, b + 1] for a, b in category.skeleton]
    return entry


def read_category(entry: Json) -> Category:
    """Return the category of an entry of a file's ``categories``.

    Raises:
        ValueError, KeyError or TypeError: the entry is invalid.
    """
    edges = tuple((int(a) - 1, int(b) - 1) for a, b in entry.get("skeleton") or ())
    return Category(name=str(entry["name"]), keypoints=tuple(entry.get("keypoints") or ()), skeleton=edges)


def add_unnamed(categories: Mapping[int, Category], labels: Iterable[int]) -> dict[int, Category]:
    """Return ``categories`` plus a placeholder, named after its number, for each other label; COCO's tools need one."""
    return {**categories, **{n: Category(name=str(n)) for n in sorted(set(labels) - set(categories))}}


def read_categories(entries: Iterable[Json], labels: Iterable[int]) -> dict[int, Category]:
    """Return categories by label, without the placeholders of ``add_unnamed``, which are named after their number.

    Args:
        entries: a file's ``categories``; may be empty.
        labels: labels of the file's annotations.

    Raises:
        ValueError, KeyError or TypeError: an entry is invalid, or a label has no entry although the list is not empty.
    """
    by_label = {int(entry["id"]): read_category(entry) for entry in entries}
    if by_label and (unknown := sorted(set(labels) - set(by_label))):
        accepted = ", ".join(map(str, by_label))
        raise ValueError(f"an annotation has category_id {unknown[0]}, which is not listed (accepted: {accepted})")
    return {label: category for label, category in by_label.items() if category != Category(name=str(label))}
