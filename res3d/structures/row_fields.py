"""Declarations of the fields of rows: ``boxes: Floats = rows("N T 4", check=check_boxes)``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from res3d.structures.arrays import encode_mask

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """``typing.dataclass_transform``, which Python 3.10 lacks; it matters to type checkers only."""
        return lambda decorator: decorator


Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Check = Callable[[str, NDArray[Any]], None]
"""Takes the name of a field and its array; raises ValueError for values that are not accepted."""

C = TypeVar("C")

KEY = "res3d.rows"  # of a declaration in the metadata of its dataclass field
MISSING = object()
CONCRETE: Mapping[object, DTypeLike] = {np.floating: np.float64, np.integer: np.int64}


@dataclass(frozen=True, slots=True)
class RowField:
    """Declaration of one field; ``rows``, ``shared``, ``item_rows`` and ``mask_rows`` make them."""

    axes: tuple[str, ...]
    """Letters and numbers. The first is the axis of rows, unless the field is shared."""
    dtype: type[np.generic] | None
    """Of an array, or a parent of it (``np.floating``). None: nested tuples of items."""
    is_shared: bool = False
    """True for an array that belongs to all rows together, as the frame numbers of a clip."""
    is_optional: bool = False
    fill: Any = MISSING
    """Value for rows without the field where others have it. MISSING: such rows cannot be joined."""
    absent: Any = MISSING
    """Value for all rows of a mapping without the field. MISSING: the mapping must have it."""
    check: Check | None = None
    encode: Callable[[Any], object] | None = None
    """Makes an item of what a mapping holds in its place."""
    single: str | None = None
    """Name of a shared field's value at one frame, in the class that ``at_frame`` makes."""

    @property
    def concrete(self) -> np.dtype[Any]:
        """Type of arrays that are made anew."""
        return np.dtype(CONCRETE.get(self.dtype, self.dtype))


def rows(
    axes: str,
    dtype: type[np.generic] = np.float32,
    *,
    default: object = MISSING,
    fill: object = MISSING,
    absent: object = MISSING,
    check: Check | None = None,
) -> Any:
    """Declare an array with one entry per row.

    Args:
        axes: shape in letters and numbers, the axis of rows first: "N T 4".
        dtype: of the array, or a parent of it: ``np.floating`` takes float32 and float64.
        default: None for an optional field.
        fill: value for rows without the (optional) field when they are joined with rows that have it; without
            ``fill``, joining them is refused.
        absent: value for all rows where ``from_values`` gets a mapping without the (required) field.
        check: a check of the values.
    """
    return _declare(RowField(tuple(axes.split()), dtype, fill=fill, absent=absent, check=check), default)


def shared(
    axes: str,
    dtype: type[np.generic] = np.float32,
    *,
    default: object = MISSING,
    check: Check | None = None,
    single: str | None = None,
) -> Any:
    """Declare an array that all rows share: picking rows leaves it as it is, and joined parts must agree in it.

    Args:
        axes, dtype, default, check: as for ``rows``.
        single: name of the field that holds this array's value at one frame in the class that ``at_frame`` makes.
    """
    return _declare(RowField(tuple(axes.split()), dtype, is_shared=True, check=check, single=single), default)


def item_rows(axes: str, *, default: object = MISSING, fill: object = MISSING) -> Any:
    """Declare a tuple with one object of any type per row; nested tuples for more axes. Arguments as for ``rows``."""
    return _declare(RowField(tuple(axes.split()), None, fill=fill), default)


def mask_rows(axes: str, *, default: object = MISSING) -> Any:
    """Declare a tuple of masks (``Rle``), as ``item_rows``; ``from_values`` encodes them. A row without one has None.

    Where no row has a mask, the field itself is None.
    """
    return _declare(RowField(tuple(axes.split()), None, fill=None, encode=encode_mask), default)


def _declare(declaration: RowField, default: object) -> Any:
    metadata = {KEY: replace(declaration, is_optional=default is None)}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    eq_default=False,
    field_specifiers=(rows, shared, item_rows, mask_rows, field),
)
def object_rows(cls: type[C]) -> type[C]:
    """Make a class of rows: a frozen dataclass with keyword arguments and slots, compared by identity."""
    return dataclass(frozen=True, kw_only=True, slots=True, eq=False)(cls)


def _find(cls: Any) -> tuple[tuple[str, RowField], ...]:
    own = get_annotations(cls)
    found = [(each.name, _adapt(each.metadata[KEY], cls.axes)) for each in fields(cls) if KEY in each.metadata]
    return tuple(sorted(found, key=lambda item: (not item[1].is_shared, item[0] not in own)))


def _adapt(declaration: RowField, axes: Any) -> RowField:
    renamed = (axes.get(axis, axis) for axis in declaration.axes)
    return replace(declaration, axes=tuple(axis for axis in renamed if axis is not None))


declarations: Callable[[type], tuple[tuple[str, RowField], ...]] = cache(_find)
"""Names and declarations of a class of rows, with the axes that it renames or removes (``ObjectRows.axes``).

In the order in which their sizes are taken for right: shared fields, then a class's own, then inherited ones.
"""
