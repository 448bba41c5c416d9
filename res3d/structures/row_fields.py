"""Declarations of the fields of rows: ``boxes: Floats = rows("N T 4", check=check_boxes)``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from res3d.settings.types import Class, Value
from res3d.structures.arrays import check_probability, encode_mask
from res3d.structures.row_kinds import MISSING, ArrayField, Check, ItemField, RowField

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """Stand-in for ``typing.dataclass_transform``, which Python 3.10 lacks and only type checkers use."""
        return lambda decorator: decorator


C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., object])

KEY = "res3d.rows"  # key of the declaration in a dataclass field's metadata


def rows(
    axes: str,
    dtype: type[np.generic] = np.float32,
    *,
    default: object = MISSING,
    fill: object = MISSING,
    absent: object = MISSING,
    check: Check | None = None,
) -> Value:
    """Declare an array with one entry per row.

    Args:
        axes: shape in words and numbers, the axis of rows first: "N T 4".
        dtype: dtype of the array.
        default: None for an optional field.
        fill: for an optional field: value for rows without the field when they are joined with rows that have it.
            Without ``fill``, joining them is an error.
        absent: for a required field: default value for all rows if ``from_values`` gets a mapping without the field.
        check: function that raises ValueError if it does not accept the values.
    """
    return _declare(ArrayField(axes=tuple(axes.split()), dtype=dtype, fill=fill, absent=absent, check=check), default)


def shared(
    axes: str,
    dtype: type[np.generic] = np.float32,
    *,
    default: object = MISSING,
    check: Check | None = None,
    single: str | None = None,
) -> Value:
    """Declare an array that all rows share. Selecting rows leaves it unchanged; joined parts must have equal arrays.

    Args:
        axes, dtype, default, check: as for ``rows``.
        single: name of the field with this array's value at one frame, in the class that ``at_frame`` creates.
    """
    declaration = ArrayField(axes=tuple(axes.split()), dtype=dtype, is_shared=True, check=check, single=single)
    return _declare(declaration, default)


def mask_rows(axes: str, *, default: object = MISSING) -> Value:
    """Declare a tuple with one mask (``Rle``) per row, or nested tuples for more axes; ``from_values`` encodes masks.

    The entry of a row without a mask is None. If no row has a mask, the field itself is None.
    """
    return _declare(ItemField(axes=tuple(axes.split()), fill=None, encode=encode_mask), default)


def _declare(declaration: RowField, default: object) -> object:
    metadata = {KEY: replace(declaration, is_optional=default is None)}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    eq_default=False,
    field_specifiers=(rows, shared, mask_rows, field),
)
def object_rows(cls: type[C]) -> type[C]:
    """Turn a class into a class of rows: a frozen, keyword-only dataclass with slots, compared by identity."""
    return dataclass(frozen=True, kw_only=True, slots=True, eq=False)(cls)


def cache_by_class(function: F) -> F:
    """Cache a function of classes: ``functools.cache`` with a type that accepts dataclasses as hashable."""
    return cache(function)  # type: ignore[return-value]


@cache_by_class
def declarations(cls: Class) -> tuple[tuple[str, RowField], ...]:
    """Return the field names and declarations of a class of rows, with axes renamed or removed as ``cls.axes`` defines.

    The order is that of shape checks, in which earlier fields define the sizes for later ones: shared fields first,
    then fields that the class itself declares, then inherited fields.
    """
    class_fields = get_annotations(cls)
    pairs = [(each.name, _adapt(each.metadata[KEY], cls.axes)) for each in fields(cls) if KEY in each.metadata]
    return tuple(sorted(pairs, key=lambda pair: (not pair[1].is_shared, pair[0] not in class_fields)))


def probability_fields(cls: Class) -> frozenset[str]:
    """Return the names of a class's optional arrays [rows, events] with the probability of each of several events."""
    return frozenset(
        name
        for name, declared in declarations(cls)
        if declared.is_optional and len(declared.axes) == 2 and getattr(declared, "check", None) is check_probability
    )


def _adapt(declaration: RowField, axes: Mapping[str, str | None]) -> RowField:
    renamed = (axes.get(axis, axis) for axis in declaration.axes)
    return replace(declaration, axes=tuple(axis for axis in renamed if axis is not None))
