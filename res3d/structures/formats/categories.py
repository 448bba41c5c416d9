"""Categories in COCO's files: keypoints by name, edges of the skeleton counted from 1."""

from collections.abc import Iterable, Mapping

from res3d.settings.types import Json
from res3d.structures.category import Category


def category_entry(label: int, category: Category) -> Json:
    """Return a category as a file's entry."""
    entry: Json = {"id": label, "name": category.name}
    if category.keypoints:
        entry["keypoints"] = list(category.keypoints)
        entry["skeleton"] = [[a + 1, b + 1] for a, b in category.skeleton]
    return entry


def read_category(entry: Json) -> Category:
    """Return the category of a file's entry; ValueError, KeyError or TypeError for an invalid entry."""
    edges = tuple((int(a) - 1, int(b) - 1) for a, b in entry.get("skeleton") or ())
    return Category(name=str(entry["name"]), keypoints=tuple(entry.get("keypoints") or ()), skeleton=edges)


def add_unnamed(categories: Mapping[int, Category], labels: Iterable[int]) -> dict[int, Category]:
    """Return ``categories`` with one for every other label, named after its number: COCO's tools want them all."""
    return {**categories, **{n: Category(name=str(n)) for n in sorted(set(labels) - set(categories))}}


def read_categories(entries: Iterable[Json], labels: Iterable[int]) -> dict[int, Category]:
    """Return categories by label, without those named after their own number, as ``add_unnamed`` writes them.

    Raises:
        ValueError, KeyError or TypeError: an invalid entry, or, where any are listed, one of ``labels`` that is not.
    """
    named = {int(entry["id"]): read_category(entry) for entry in entries}
    if named and (unknown := sorted(set(labels) - set(named))):
        accepted = ", ".join(map(str, named))
        raise ValueError(f"an annotation is of category {unknown[0]}, which is not listed (accepted: {accepted})")
    return {label: category for label, category in named.items() if category != Category(name=str(label))}
