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
        """``typing.dataclass_transform``, which Python 3.10 lacks; it matters to type checkers only."""
        return lambda decorator: decorator


C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., object])

KEY = "res3d.rows"  # of a declaration in the metadata of its dataclass field


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
        axes: shape in letters and numbers, the axis of rows first: "N T 4".
        dtype: of the array.
        default: None for an optional field.
        fill: value for rows without the (optional) field when they are joined with rows that have it; without
            ``fill``, joining them is refused.
        absent: value for all rows where ``from_values`` gets a mapping without the (required) field.
        check: a check of the values.
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
    """Declare an array that all rows share: picking rows leaves it as it is, and joined parts must agree in it.

    Args:
        axes, dtype, default, check: as for ``rows``.
        single: name of the field that holds this array's value at one frame in the class that ``at_frame`` makes.
    """
    made = ArrayField(axes=tuple(axes.split()), dtype=dtype, is_shared=True, check=check, single=single)
    return _declare(made, default)


def mask_rows(axes: str, *, default: object = MISSING) -> Value:
    """Declare a tuple with one mask (``Rle``) per row, nested tuples for more axes; ``from_values`` encodes them.

    A row without a mask has None. Where no row has one, the field itself is None.
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
    """Make a class of rows: a frozen dataclass with keyword arguments and slots, compared by identity."""
    return dataclass(frozen=True, kw_only=True, slots=True, eq=False)(cls)


def cache_by_class(function: F) -> F:
    """Cache a function of classes; ``functools.cache``, as typed, takes those of dataclasses for unhashable."""
    return cache(function)  # type: ignore[return-value]


@cache_by_class
def declarations(cls: Class) -> tuple[tuple[str, RowField], ...]:
    """Return names and declarations of a class of rows, with the axes that it renames or removes.

    In the order in which their sizes are taken for right: shared fields, then a class's own, then inherited ones.
    """
    own = get_annotations(cls)
    found = [(each.name, _adapt(each.metadata[KEY], cls.axes)) for each in fields(cls) if KEY in each.metadata]
    return tuple(sorted(found, key=lambda item: (not item[1].is_shared, item[0] not in own)))


def probability_fields(cls: Class) -> frozenset[str]:
    """Return the names of a class's optional arrays [rows, things] of the probability of each of several things."""
    return frozenset(
        name
        for name, declared in declarations(cls)
        if declared.is_optional and len(declared.axes) == 2 and getattr(declared, "check", None) is check_probability
    )


def _adapt(declaration: RowField, axes: Mapping[str, str | None]) -> RowField:
    renamed = (axes.get(axis, axis) for axis in declaration.axes)
    return replace(declaration, axes=tuple(axis for axis in renamed if axis is not None))
