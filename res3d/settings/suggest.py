"""Suggestions for misspelt names."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(name: str, accepted: Iterable[str]) -> str | None:
    """Return the accepted name that ``name`` most likely stands for, or None.

    A name that differs only in case comes first, then the shortest one that ``name`` begins ("resnet50" is
    "resnet50_3d" rather than the more similar "i3resnet50"), then the most similar by ``difflib``.
    """
    names = list(accepted)
    same = [other for other in names if other.casefold() == name.casefold()]
    begun = sorted((other for other in names if name and other.startswith(name)), key=len)
    return next(iter(same + begun + get_close_matches(name, names, n=1)), None)


def did_you_mean(name: str, accepted: Iterable[str]) -> str:
    """Return "; did you mean 'NAME'?" for an error message, or "" where no accepted name is near."""
    near = nearest_name(name, accepted)
    return "" if near is None else f"; did you mean {near!r}?"
