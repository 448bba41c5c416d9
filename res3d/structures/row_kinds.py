"""The two kinds of fields in classes of rows: arrays, and tuples of items such as masks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from res3d.settings.types import Value
from res3d.structures.arrays import Array, Numeric, to_array
from res3d.structures.shapes import check_shape, describe_sizes

Check = Callable[[str, Numeric], None]
"""Function that gets a field's name and its array, and raises ValueError if it does not accept the values."""
RowIndices = NDArray[np.int64] | slice
"""Selection of rows: indices [n], or a slice."""
Items = tuple[Value, ...]

MISSING = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayField:
    """Declaration of a field that is an array."""

    axes: tuple[str, ...]
    """Words and numbers, see ``shapes.check_shapes``. The first axis is the rows, unless the field is shared."""
    dtype: type[np.generic]
    is_optional: bool = False
    is_shared: bool = False
    """True for an array that belongs to all rows together, such as the frame numbers of a clip."""
    fill: Value = MISSING
    """Value for rows without the field when they are joined with rows that have it. MISSING: joining them is an error.
    """
    absent: object = MISSING
    """Default value for all rows if ``from_values`` gets a mapping without the field. MISSING: the field is required.
    """
    check: Check | None = None
    single: str | None = None
    """For a shared field: name of the field with this array's value at one frame, in the class ``at_frame`` creates."""

    def check_shape(self, name: str, values: Array, sizes: dict[str, int]) -> None:
        """Check the shape. ``sizes`` maps words to the sizes that earlier fields defined; new words are added to it."""
        check_shape(name, values.shape, self.axes, sizes)

    def check_values(self, name: str, values: Array) -> None:
        """Check the dtype, then the values with ``check``."""
        if values.dtype != self.dtype:
            raise ValueError(f"{name} must be {self.dtype.__name__}, not {values.dtype}")
        if self.check is not None:
            self.check(name.rpartition(".")[2], values)

    def empty(self, sizes: Mapping[str, int]) -> Array:
        """Return an array without rows; axes that ``sizes`` lacks have size 0."""
        tail = [int(axis) if axis.isdigit() else sizes.get(axis, 0) for axis in self.axes[1:] if axis != "..."]
        return np.zeros((0, *tail), self.dtype)

    def single_row(self, entry: object) -> Array:
        """Return an array with one row, ``entry``."""
        row: Array = np.asarray(entry, self.dtype)
        return row[None]

    def pick(self, values: Array, indices: RowIndices) -> Array:
        """Return the selected rows."""
        return values[indices] if isinstance(indices, slice) else values.take(indices, axis=0)  # faster than indexing

    def at_frame(self, values: Array, t: int) -> Array:
        """Return the values at frame index ``t``. The axis T is the first of a shared array, else the second."""
        return values[t] if self.is_shared else values[:, t]

    def concatenate(self, name: str, parts: Sequence[tuple[int, Array | None]], pad: bool) -> Array:
        """Join parts, each (number of rows, values or None).

        Args:
            name: name of the field in error messages.
            parts: at least one of them with values.
            pad: extend rows of different sizes to the largest size with ``fill``.

        Raises:
            ValueError: rows of different shapes that cannot be padded.
        """
        present = [values for _, values in parts if values is not None]
        tails = {values.shape[1:] for values in present}
        if len(tails) == 1 and len(present) == len(parts):
            return np.concatenate(present)
        if len(tails) > 1 and (not pad or self.fill is MISSING or len(set(map(len, tails))) > 1):
            shapes = ", ".join(str(list(tail)) for tail in sorted(tails))
            raise ValueError(f"all rows of {name} must have the same shape, not {shapes}")
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
        """Convert an array, tensor or list to an array; cut each axis that ``sizes`` contains to that size."""
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
    """Function that converts an entry of the mapping passed to ``from_values`` to an item."""
    is_shared = False
    absent = MISSING
    single = None

    def check_shape(self, name: str, values: Items, sizes: dict[str, int]) -> None:
        """Check the lengths of the tuples, one nesting level per axis; ``sizes`` as in ``ArrayField.check_shape``."""
        level: Sequence[Items] = [values]
        for axis in self.axes:
            lengths = {len(items) for items in level}
            if lengths and lengths != {sizes.setdefault(axis, min(lengths))}:
                actual = ", ".join(map(str, sorted(lengths)))
                raise ValueError(
                    f"{name} must be [{', '.join(self.axes)}]{describe_sizes(sizes)}, not {axis} = {actual}"
                )
            level = [item for items in level for item in items]

    def check_values(self, name: str, values: Items) -> None:
        """Accept any items."""

    def empty(self, sizes: Mapping[str, int]) -> Items:
        """Return a tuple without rows."""
        return ()

    def single_row(self, entry: object) -> Items:
        """Return a tuple with one row, ``entry``."""
        return (entry,)

    def pick(self, values: Items, indices: RowIndices) -> Items:
        """Return the selected rows."""
        return values[indices] if isinstance(indices, slice) else tuple(values[index] for index in indices.tolist())

    def at_frame(self, values: Items, t: int) -> Items:
        """Return the items at frame index ``t``."""
        return tuple(items[t] for items in values)

    def concatenate(self, name: str, parts: Sequence[tuple[int, Items | None]], pad: bool) -> Items:
        """Join parts, each (number of rows, items or None)."""
        example = next(items[0] for _, items in parts if items)
        fill = self.fill if len(self.axes) == 1 else (self.fill,) * len(example)
        return tuple(item for count, items in parts for item in (items or (fill,) * count))

    def read(self, values: Numeric, rows: Sequence[int], sizes: Mapping[str, int]) -> Items:
        """Encode the items of ``rows``. ``values`` is indexed by row, or by row and frame."""
        encode = self.encode or (lambda item: item)
        if len(self.axes) == 1:
            return tuple(encode(values[row]) for row in rows)
        nested = isinstance(values, list | tuple)
        frames = range(sizes[self.axes[1]])
        return tuple(tuple(encode(values[row][t] if nested else values[row, t]) for t in frames) for row in rows)


RowField = ArrayField | ItemField


def join_parts(
    name: str, field: RowField, counts: Sequence[int], values: Sequence[Value], *, pad: bool = False
) -> object:
    """Return the joined values of one field, or None if no part has any.

    Args:
        name: name of the field in error messages.
        field: its declaration.
        counts: number of rows of each part.
        values: values of each part, or None.
        pad: extend rows of different sizes to the largest size.

    Raises:
        ValueError: only some rows have the field and it has no ``fill``, or rows differ in shape.
    """
    if all(part is None for part in values):
        return None
    parts = list(zip(counts, values, strict=True))
    parts = [part for part in parts if part[0]] or parts[:1]
    present = [part for part in parts if part[1] is not None]
    if len(parts) == 1:
        return parts[0][1]
    if 0 < len(present) < len(parts) and field.fill is MISSING:
        raise ValueError(f"cannot join {name}: some rows have it and others do not")
    return field.concatenate(name, parts, pad) if present else None
