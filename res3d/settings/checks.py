"""Checks that the dataclasses of a spec make of their fields."""

from collections.abc import Iterable

from res3d.settings.types import Value


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
