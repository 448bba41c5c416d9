"""Checks that dataclasses make of their fields."""

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
    """Marker of a field that holds a number: ``score: Annotated[float, Range(0, 1)] = 0.5``.

    Infinity and NaN are never accepted; in a field of type ``int`` nothing but whole numbers is.
    """

    least: float
    most: float = math.inf
    unit: str = ""
    """What the number counts, for error messages."""
    above: bool = False
    """True where ``least`` itself is refused."""

    def describe(self, *, whole: bool) -> str:
        """Return what is accepted, for an error message."""
        if self.most < math.inf:
            interval = f"in {self.least}..{self.most}" if not self.above else f"in ({self.least}, {self.most}]"
        else:
            interval = f"{'>' if self.above else '≥'} {self.least}"
        return ("a whole number " if whole else "") + interval + (f" {self.unit}" if self.unit else "")

    def accepts(self, value: Value, *, whole: bool) -> bool:
        """Return whether a value is a number in the range."""
        kind: Class = Integral if whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        inside: bool = (
            (self.least < value if self.above else self.least <= value) and value <= self.most and value < math.inf
        )
        return inside


def check_fields(settings: Value) -> None:
    """Refuse a dataclass with a number outside the ``Range`` of its field, or a word that is not of its ``Choice``.

    Raises:
        ValueError: names the field, its value and what is accepted.
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
    """Refuse what is not three whole numbers ≥ 1 in (t, y, x) order."""
    if (
        not isinstance(value, tuple)
        or len(value) != 3
        or any(not isinstance(v, int) or v < 1 or (odd and v % 2 == 0) for v in value)
    ):
        raise ValueError(f"{name} must be three {'odd ' if odd else ''}whole numbers ≥ 1 (t, y, x), not {value!r}")


def check_choice(name: str, value: str, accepted: Iterable[str]) -> None:
    """Refuse what is not one of ``accepted``."""
    choices = list(accepted)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def check_width(name: str, value: Value) -> None:
    """Refuse what is not a whole number ≥ 1."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1, not {value!r}")
