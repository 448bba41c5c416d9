"""Kinds of fields that rows of objects have: arrays, and tuples of items such as masks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from res3d.settings.types import Value
from res3d.structures.arrays import Array, Numeric, to_array
from res3d.structures.shapes import check_shape, describe_sizes

Check = Callable[[str, Numeric], None]
"""Takes the name of a field and its array; raises ValueError for values that are not accepted."""
Numbers = NDArray[np.int64] | slice
"""Which rows: numbers [n], or a slice."""
Items = tuple[Value, ...]

MISSING = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayField:
    """Declaration of a field that is an array."""

    axes: tuple[str, ...]
    """Letters and numbers. The first is the axis of rows, unless the field is shared."""
    dtype: type[np.generic]
    is_optional: bool = False
    is_shared: bool = False
    """True for an array that belongs to all rows together, as the frame numbers of a clip."""
    fill: Value = MISSING
    """Value for rows without the field beside rows that have it. MISSING: they cannot be joined."""
    absent: object = MISSING
    """Value for all rows of a mapping without the field. MISSING: the mapping must have it."""
    check: Check | None = None
    single: str | None = None
    """Name of a shared field's value at one frame, in the class that ``at_frame`` makes."""

    def check_shape(self, name: str, values: Array, sizes: dict[str, int]) -> None:
        """Check the shape; ``sizes`` are those of the letters so far, and new letters are added to them."""
        check_shape(name, values.shape, self.axes, sizes)

    def check_values(self, name: str, values: Array) -> None:
        """Check the dtype, and the values by ``check``."""
        if values.dtype != self.dtype:
            raise ValueError(f"{name} must be {self.dtype.__name__}, not {values.dtype}")
        if self.check is not None:
            self.check(name.rpartition(".")[2], values)

    def empty(self, sizes: Mapping[str, int]) -> Array:
        """Return no rows; letters without a size are 0."""
        tail = [int(axis) if axis.isdigit() else sizes.get(axis, 0) for axis in self.axes[1:] if axis != "..."]
        return np.zeros((0, *tail), self.dtype)

    def one(self, entry: object) -> Array:
        """Return a single row."""
        made: Array = np.asarray(entry, self.dtype)
        return made[None]

    def pick(self, values: Array, numbers: Numbers) -> Array:
        """Return some of the rows."""
        return values[numbers] if isinstance(numbers, slice) else values.take(numbers, axis=0)  # faster than an index

    def at_frame(self, values: Array, t: int) -> Array:
        """Return the values at one frame. The axis T is the first of a shared array, the second of others."""
        return values[t] if self.is_shared else values[:, t]

    def concatenate(self, name: str, parts: Sequence[tuple[int, Array | None]], pad: bool) -> Array:
        """Join parts, each (number of rows, values or None); ``pad`` fills up entries to the largest size."""
        present = [values for _, values in parts if values is not None]
        tails = {values.shape[1:] for values in present}
        if len(tails) == 1 and len(present) == len(parts):
            return np.concatenate(present)
        if len(tails) > 1 and (not pad or self.fill is MISSING or len(set(map(len, tails))) > 1):
            shown = ", ".join(str(list(tail)) for tail in sorted(tails))
            raise ValueError(f"{name} of all rows must have one shape, not {shown}")
        shape = (sum(count for count, _ in parts), *(max(sizes) for sizes in zip(*tails, strict=True)))
        joined: Array = np.empty(shape, np.result_type(*present))
        if self.fill is not MISSING:
            joined[:] = self.fill
        start = 0
        for count, values in parts:
            if values is not None:
                joined[start : start + count][tuple(slice(size) for size in values.shape)] = values
            start += count
        return joined

    def read(self, value: object, sizes: Mapping[str, int]) -> Array:
        """Return an array, tensor or list as an array, cut to the sizes of its letters."""
        array: Array = to_array(value, self.dtype)
        if array.size == 0 and all(axis.isdigit() for axis in self.axes[1:]):
            array = array.reshape(0, *map(int, self.axes[1:]))
        return array[tuple(slice(sizes.get(axis)) for axis in self.axes[: array.ndim])]


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemField:
    """Declaration of a field that is a tuple with one object per row, or nested tuples for more axes."""

    axes: tuple[str, ...]
    is_optional: bool = False
    fill: Value = MISSING
    encode: Callable[[Value], object] | None = None
    """Makes an item of what a mapping holds in its place."""
    is_shared = False
    absent = MISSING
    single = None

    def check_shape(self, name: str, values: Items, sizes: dict[str, int]) -> None:
        """Check the lengths of tuples, one level per axis."""
        level: Sequence[Items] = [values]
        for axis in self.axes:
            lengths = {len(items) for items in level}
            if lengths and lengths != {sizes.setdefault(axis, min(lengths))}:
                found = ", ".join(map(str, sorted(lengths)))
                raise ValueError(
                    f"{name} must be [{', '.join(self.axes)}]{describe_sizes(sizes)}, not {axis} = {found}"
                )
            level = [item for items in level for item in items]

    def check_values(self, name: str, values: Items) -> None:
        """Accept any items."""

    def empty(self, sizes: Mapping[str, int]) -> Items:
        """Return no rows."""
        return ()

    def one(self, entry: object) -> Items:
        """Return a single row."""
        return (entry,)

    def pick(self, values: Items, numbers: Numbers) -> Items:
        """Return some of the rows."""
        return values[numbers] if isinstance(numbers, slice) else tuple(values[number] for number in numbers.tolist())

    def at_frame(self, values: Items, t: int) -> Items:
        """Return the items at one frame."""
        return tuple(items[t] for items in values)

    def concatenate(self, name: str, parts: Sequence[tuple[int, Items | None]], pad: bool) -> Items:
        """Join parts, each (number of rows, items or None)."""
        example = next(items[0] for _, items in parts if items)
        fill = self.fill if len(self.axes) == 1 else (self.fill,) * len(example)
        return tuple(item for count, items in parts for item in (items or (fill,) * count))

    def read(self, values: Numeric, rows: Sequence[int], sizes: Mapping[str, int]) -> Items:
        """Encode the items of some rows of ``values``, which is indexed by row, or by row and frame."""
        encode = self.encode or (lambda item: item)
        if len(self.axes) == 1:
            return tuple(encode(values[row]) for row in rows)
        nested = isinstance(values, list | tuple)
        frames = range(sizes[self.axes[1]])
        return tuple(tuple(encode(values[row][t] if nested else values[row, t]) for t in frames) for row in rows)


RowField = ArrayField | ItemField


def join_parts(
    name: str, declared: RowField, counts: Sequence[int], values: Sequence[Value], *, pad: bool = False
) -> object:
    """Return the values of all parts, from their numbers of rows and their values or None; None if no part has any.

    Raises:
        ValueError: rows without the field beside others, where it has no ``fill``; entries that differ in size.
    """
    if all(part is None for part in values):
        return None
    parts = list(zip(counts, values, strict=True))
    parts = [part for part in parts if part[0]] or parts[:1]
    present = [part for part in parts if part[1] is not None]
    if len(parts) == 1:
        return parts[0][1]
    if 0 < len(present) < len(parts) and declared.fill is MISSING:
        raise ValueError(f"{name}: some rows have it and others do not")
    return declared.concatenate(name, parts, pad) if present else None
