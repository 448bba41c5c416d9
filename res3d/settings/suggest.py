"""Names and values in error messages: suggestions for misspelt ones, and never more of them than a line holds."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr

from res3d.settings.types import Value

NAMES = 12  # names that a message lists
LETTERS = 100  # of a value that a message quotes


def nearest_name(name: str, accepted: Iterable[str]) -> str | None:
    """Return the accepted name that ``name`` most likely stands for, or None.

    A name that differs only in case comes first, then the shortest one that ``name`` begins ("resnet50" is
    "resnet50_3d" rather than the more similar "i3resnet50"), then the most similar by ``difflib``.
    """
    names = list(accepted)
    same = [other for other in names if other.casefold() == name.casefold()]
    begun = sorted((other for other in names if name and other.startswith(name)), key=len)
    return next(iter(same + begun + get_close_matches(name[:LETTERS], names, n=1)), None)


def did_you_mean(name: str, accepted: Iterable[str]) -> str:
    """Return "; did you mean 'NAME'?" for an error message, or "" where no accepted name is near."""
    near = nearest_name(name, accepted)
    return "" if near is None else f"; did you mean {near!r}?"


def name_list(names: Iterable[str], most: int = NAMES) -> str:
    """Return names between commas, and how many more there are than ``most``."""
    shown = list(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def shorten(value: Value) -> str:
    """Return ``repr(value)``, cut where it is long, at a cost that does not depend on how long."""
    return _SHORT.repr(value)


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LETTERS
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 8
_SHORT.maxlevel = 3
