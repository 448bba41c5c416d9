"""Names and values in error messages: suggestions for misspelt names, and texts short enough for one line."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr

from res3d.settings.types import Value

MOST_NAMES = 12  # names that a message lists
MOST_CHARACTERS = 100  # characters of a value that a message quotes


def nearest_name(name: str, accepted: Iterable[str]) -> str | None:
    """Return the accepted name that the user most likely intended with ``name``, or None.

    The first choice is a name that differs only in case. The second is the shortest name that starts with ``name``:
    "resnet50" gives "resnet50_3d" and not "i3resnet50", which is more similar. The third is the most similar name by
    ``difflib``.
    """
    names = list(accepted)
    other_case = [other for other in names if other.casefold() == name.casefold()]
    completions = sorted((other for other in names if name and other.startswith(name)), key=len)
    similar = get_close_matches(name[:MOST_CHARACTERS], names, n=1)
    return next(iter(other_case + completions + similar), None)


def did_you_mean(name: str, accepted: Iterable[str]) -> str:
    """Return "; did you mean 'NAME'?" for an error message, or "" if no accepted name is similar."""
    suggestion = nearest_name(name, accepted)
    return "" if suggestion is None else f"; did you mean {suggestion!r}?"


def name_list(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """Return the first ``most`` names, separated by commas, and the number of the others: "a, b and 3 more"."""
    items = list(names)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def shorten(value: Value) -> str:
    """Return ``repr(value)``, shortened if it is long. The time does not depend on the size of the value."""
    return _SHORT.repr(value)


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = MOST_CHARACTERS
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 8
_SHORT.maxlevel = 3
