"""Checks of the values of dataclass fields, for their ``__post_init__``."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType
from typing import get_args

from res3d.settings.fields import markers_of, settings_of
from res3d.settings.markers import Choice
from res3d.settings.types import Class, Value


@dataclass(frozen=True, eq=False)
class Range:
    """Marker with the range of a number: ``score: Annotated[float, Range(0, 1)] = 0.5``.

    Infinity and NaN are never accepted. A field of type ``int`` accepts whole numbers only.
    """

    least: float
    """Smallest accepted value."""
    most: float = math.inf
    """Largest accepted value; infinity for no limit."""
    unit: str = ""
    """Unit of the number, for error messages: "pixels²"."""
    above: bool = False
    """True if values must be greater than ``least``, False if ``least`` is accepted."""

    def describe(self, *, whole: bool) -> str:
        """Return the accepted range for an error message: "in 0..1", "a whole number ≥ 1"."""
        if self.most < math.inf:
            interval = f"in {self.least}..{self.most}" if not self.above else f"in ({self.least}, {self.most}]"
        else:
            interval = f"{'>' if self.above else '≥'} {self.least}"
        return ("a whole number " if whole else "") + interval + (f" {self.unit}" if self.unit else "")

    def accepts(self, value: Value, *, whole: bool) -> bool:
        """Return whether a value is a number in the range; with ``whole``, a whole number."""
        kind: Class = Integral if whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        inside: bool = (
            (self.least < value if self.above else self.least <= value) and value <= self.most and value < math.inf
        )
        return inside


def check_fields(settings: Value) -> None:
    """Check every field of a dataclass against the ``Range`` and ``Choice`` markers in its annotation.

    Raises:
        ValueError: a number is outside its range, or a word is not one of the choices. The message names the field,
            its value and what is accepted.
    """
    for setting in settings_of(settings.__class__):
        value, types = getattr(settings, setting.name), set(get_args(setting.bare) or (setting.bare,))
        if value is None and NoneType in types:
            continue
        whole, or_none = float not in types, " or None" if NoneType in types else ""
        for accepted in markers_of(setting.hint, Range):
            if not accepted.accepts(value, whole=whole):
                raise ValueError(f"{setting.name} must be {accepted.describe(whole=whole)}{or_none}, not {value!r}")
        for choice in markers_of(setting.hint, Choice):
            check_choice(setting.name, value, choice.words)


def check_triple(name: str, value: Value, *, odd: bool = False) -> None:
    """Check that a value is a tuple of three whole numbers ≥ 1 in (t, y, x) order.

    Raises:
        ValueError: the value is anything else, or with ``odd``, one of the numbers is even.
    """
    if (
        not isinstance(value, tuple)
        or len(value) != 3
        or any(not isinstance(v, int) or v < 1 or (odd and v % 2 == 0) for v in value)
    ):
        raise ValueError(f"{name} must be three {'odd ' if odd else ''}whole numbers ≥ 1 (t, y, x), not {value!r}")


def check_choice(name: str, value: str, accepted: Iterable[str]) -> None:
    """Check that a value is one of the accepted words.

    Raises:
        ValueError: it is not; the message lists the accepted words.
    """
    choices = list(accepted)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def check_width(name: str, value: Value) -> None:
    """Check that a value is a whole number ≥ 1.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1, not {value!r}")
