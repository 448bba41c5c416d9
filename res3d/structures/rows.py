"""Rows of objects: frozen dataclasses whose fields declare their axes, dtype and checks.

A class lists its fields and is decorated with ``object_rows``; its base ``ObjectRows`` checks, picks, joins, converts
and reads them::

    @object_rows
    class Poses(ObjectRows):
        frames: Integers = shared("T", np.int64)
        boxes: Floats = rows("N T 4", check=check_boxes)
        keypoints: Floats | None = rows("N T K 3", default=None, fill=0)
        masks: tuple[tuple[Rle, ...], ...] | None = mask_rows("N T", default=None)

Letters stand for sizes that must agree within a value, numbers for themselves, a last ``...`` for any more axes; ``T``
is the axis of frames. A field with ``default=None`` is optional. A field of plain type (``frame: int``) belongs to the
value as a whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from res3d.structures.arrays import to_array
from res3d.structures.row_fields import (
    MISSING,
    Doubles,
    Floats,
    Integers,
    RowField,
    declarations,
    item_rows,
    mask_rows,
    object_rows,
    rows,
    shared,
)
from res3d.structures.shapes import check_shape, describe_sizes

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Doubles",
    "Floats",
    "Integers",
    "ObjectRows",
    "item_rows",
    "mask_rows",
    "object_rows",
    "rows",
    "shared",
]

Selection = NDArray[np.generic] | Sequence[int] | slice
"""Numbers of rows [n], a mask [N] of bool, or a slice."""

R = TypeVar("R", bound="ObjectRows")

FRAMES = "T"  # the axis that ``at_frame`` removes


@object_rows
class ObjectRows:
    """Base of frozen dataclasses with one entry per row in every field declared by ``rows`` and its like.

    Subclasses are decorated with ``object_rows``. They may define ``check`` for what only they require, and
    ``describe`` for the beginning of error messages; ``__post_init__`` is the base's.

    Raises:
        ValueError: a field of another shape or dtype, or with values that its check refuses.
    """

    axes: ClassVar[Mapping[str, str | None]] = {}
    """Names that the axes of (inherited) fields have in this class; None removes an axis."""

    def __post_init__(self) -> None:
        try:
            _check_fields(self)
            self.check()
        except ValueError as error:
            raise ValueError(f"{self.describe()}{error}") from None

    def check(self) -> None:
        """Raise ValueError for what only this class refuses; called when the fields have been checked."""

    def describe(self) -> str:
        """Return what error messages begin with, as "track 3: "."""
        return ""

    def __len__(self) -> int:
        entries = ((getattr(self, name), declared) for name, declared in declarations(type(self)))
        return next(len(values) for values, declared in entries if not declared.is_shared and values is not None)

    def __getitem__(self, selection: Selection) -> "Self":
        """Rows by numbers, mask or slice; other fields stay. Arrays are views where NumPy gives views.

        Raises:
            TypeError: a single number; its row is ``rows[[number]]``.
            IndexError: numbers beyond the rows, or a mask of another length.
        """
        if not isinstance(selection, slice) and np.ndim(selection) != 1:
            raise TypeError(f"rows are picked by numbers [n], a mask [N] or a slice, not by {selection!r}")
        numbers = selection if isinstance(selection, slice) else np.arange(len(self))[selection]
        return self.replace(
            **{
                name: values[numbers] if declared.dtype else _pick_items(values, numbers)
                for name, declared in declarations(type(self))
                if not declared.is_shared and (values := getattr(self, name)) is not None
            }
        )

    def replace(self, **changes: Any) -> "Self":
        """Return the same with other fields."""
        return replace(self, **changes)

    def convert(self, kind: type[R], **given: Any) -> R:
        """Return these rows as another class: fields of the same name, and those that are ``given``."""
        return _build(kind, {**{name: getattr(self, name) for name in _names(kind) if hasattr(self, name)}, **given})

    def at_frame(self, t: int, kind: type[R], **given: Any) -> R:
        """Return the rows at frame ``t`` (its place on the axis T) as a class whose fields lack that axis.

        Args:
            t: place of the frame on the axis T.
            kind: the class; what it has no field for is left out.
            given: fields of ``kind`` that these rows do not have, or that are to be others.
        """
        values: dict[str, object] = {name: getattr(self, name) for name in _names(type(self))}
        for name, declared in declarations(type(self)):
            if (value := values[name]) is not None and FRAMES in declared.axes:
                values[name] = taken = _take_frame(value, t, declared)
                if declared.single:
                    values[declared.single] = taken.item()
        accepted = _names(kind)
        return _build(kind, {**{name: value for name, value in values.items() if name in accepted}, **given})

    @classmethod
    def empty(cls, **given: Any) -> "Self":
        """Return no rows; sizes that the ``given`` fields (shared or of plain type) do not tell are 0."""
        sizes = _shared_sizes(cls, given)
        made: dict[str, object] = {}
        for name, declared in declarations(cls):
            if not declared.is_shared and not declared.is_optional:
                tail = [int(axis) if axis.isdigit() else sizes.get(axis, 0) for axis in declared.axes[1:]]
                made[name] = np.zeros((0, *tail), declared.concrete) if declared.dtype else ()
        return _build(cls, {**made, **given})

    @classmethod
    def concatenate(cls, parts: "Sequence[Self]", *, pad: bool = False, **given: Any) -> "Self":
        """Join the rows of all parts, in order. Rows without an optional field get its ``fill`` if others have it.

        Args:
            parts: at least one.
            pad: fill up entries of rows that differ in size, as poses of K keypoints, to the largest.
            given: shared fields and those of plain type; the parts must agree in those that are not given.

        Raises:
            ValueError: no parts; an optional field without ``fill`` that only some rows have; entries that differ in
                size; parts that differ in a field that is not given.
        """
        if not parts:
            raise ValueError(f"no {cls.__name__} to concatenate")
        declared = dict(declarations(cls))
        joined: dict[str, object] = {}
        for name in (each.name for each in fields(cls) if each.name not in given):
            values = [getattr(part, name) for part in parts]
            if name in declared and not declared[name].is_shared:
                joined[name] = _join(name, declared[name], list(zip(map(len, parts), values, strict=True)), pad)
            elif all(_is_same(values[0], value) for value in values[1:]):
                joined[name] = values[0]
            else:
                raise ValueError(f"parts of one {cls.__name__} must have the same {name}")
        return _build(cls, {**joined, **given})

    @classmethod
    def from_rows(cls, entries: Sequence[Mapping[str, Any]], **given: Any) -> "Self":
        """Stack rows, each a mapping from fields to its entry there (None: it has none); other fields are ``given``.

        Rows without an optional field get its ``fill`` if others have it.

        Raises:
            ValueError: entries that differ in shape, or what the class refuses.
        """
        made = {
            name: _join(name, declared, [(1, _as_part(entry.get(name), declared)) for entry in entries], pad=False)
            for name, declared in declarations(cls)
            if not declared.is_shared and name not in given
        }
        return _build(cls, {**made, **given})

    @classmethod
    def from_values(
        cls,
        values: Mapping[str, Any],
        *,
        what: str = "rows",
        keep: "Callable[[Self], NDArray[np.bool_]] | None" = None,
        **given: Any,
    ) -> "Self":
        """Make rows from a mapping of arrays, tensors or lists by name of field; None stands for an absent one.

        Arrays are cut along the axes whose sizes the given shared fields tell: frames that pad a clip are left out.

        Args:
            values: the row fields. Masks are anything that is indexed by row, or by row and frame.
            what: name of the rows in error messages.
            keep: tells which rows to keep, as a mask [N]; the masks of others are not looked at.
            given: shared fields and those of plain type.

        Raises:
            ValueError: a field that is missing or unknown, or what the class refuses.
        """
        accepted = {name: declared for name, declared in declarations(cls) if not declared.is_shared}
        _check_names(values, [name for name in _names(cls) if name in accepted], accepted, what)
        present = {name: values[name] for name in accepted if values.get(name) is not None}
        sizes = _shared_sizes(cls, given)
        arrays = {n: _read_array(v, accepted[n], sizes) for n, v in present.items() if accepted[n].dtype}
        count = len(next(iter(arrays.values()), ()))
        missing = {n: np.full(count, d.absent, d.concrete) for n, d in accepted.items() if d.absent is not MISSING}
        made = _build(cls, {**missing, **arrays, **given})
        kept = np.arange(count) if keep is None else np.flatnonzero(keep(made))
        items = {n: _read_items(n, v, accepted[n], made, kept) for n, v in present.items() if not accepted[n].dtype}
        return (made if keep is None else made[kept]).replace(**items) if items or keep else made


def _build(kind: Callable[..., R], values: Mapping[str, object]) -> R:
    return kind(**values)


def _names(kind: type[ObjectRows]) -> list[str]:
    return [each.name for each in fields(kind)]


def _check_fields(value: ObjectRows) -> None:
    """Check shapes, then dtypes, then values; optional items of which all are None become None."""
    sizes: dict[str, int] = {}
    held: list[tuple[str, RowField, Any]] = []
    for name, declared in declarations(type(value)):
        values = getattr(value, name)
        if values is None and declared.is_optional:
            continue
        full_name = f"{type(value).__name__}.{name}"
        if values is None:
            raise ValueError(f"{full_name} is missing")
        if declared.dtype is None:
            _check_items(full_name, values, declared.axes, sizes)
            if declared.is_optional and values and all(item is None for item in values):
                object.__setattr__(value, name, None)
            continue
        check_shape(full_name, values.shape, declared.axes, sizes)
        held.append((name, declared, values))
    for name, declared, values in held:
        if declared.dtype and not _has_dtype(values, declared.dtype):
            raise ValueError(f"{type(value).__name__}.{name} must be {declared.dtype.__name__}, not {values.dtype}")
    for name, declared, values in held:
        if declared.check is not None:
            declared.check(name, values)


def _has_dtype(array: NDArray[Any], dtype: type[np.generic]) -> bool:
    return issubclass(array.dtype.type, dtype) or array.dtype.name == dtype.__name__  # longlong is an int64 too


def _check_items(name: str, values: Sequence[Any], axes: Sequence[str], sizes: dict[str, int]) -> None:
    """Check the lengths of nested tuples, one level per axis."""
    level = [values]
    for axis in axes:
        lengths = {len(items) for items in level}
        if lengths and (len(lengths) > 1 or lengths != {sizes.setdefault(axis, min(lengths))}):
            found = ", ".join(map(str, sorted(lengths)))
            raise ValueError(f"{name} must be [{', '.join(axes)}]{describe_sizes(sizes)}, not {axis} = {found}")
        level = [item for items in level for item in items]


def _check_names(values: Mapping[str, Any], names: Sequence[str], declared: Mapping[str, RowField], what: str) -> None:
    """Refuse a mapping with an unknown name, or without a required one."""
    if unknown := sorted(map(str, set(values) - set(names))):
        raise ValueError(f"{what} have no {', '.join(map(repr, unknown))} (accepted: {', '.join(names)})")
    needed = [name for name in names if not declared[name].is_optional and declared[name].absent is MISSING]
    if missing := [name for name in needed if values.get(name) is None]:
        raise ValueError(f"{what} lack {', '.join(missing)}; they have {', '.join(sorted(values)) or 'nothing'}")


def _read_array(value: Any, declared: RowField, sizes: Mapping[str, int]) -> NDArray[Any]:
    array = to_array(value, declared.concrete)
    if array.size == 0 and all(axis.isdigit() for axis in declared.axes[1:]):
        array = array.reshape(0, *map(int, declared.axes[1:]))
    return array[tuple(slice(sizes.get(axis)) for axis in declared.axes[: array.ndim])]


def _read_items(name: str, values: Any, declared: RowField, made: ObjectRows, kept: NDArray[np.int64]) -> Any:
    """The items of the rows at ``kept``, encoded."""
    if len(values) != len(made):
        raise ValueError(f"{type(made).__name__}.{name} must have one entry per row, {len(made)}, not {len(values)}")
    encode = declared.encode or (lambda item: item)
    if len(declared.axes) == 1:
        return tuple(encode(values[number]) for number in kept.tolist())
    length = range(_size_of(made, declared.axes[1]))
    nested = isinstance(values, list | tuple)
    return tuple(tuple(encode(values[n][t] if nested else values[n, t]) for t in length) for n in kept.tolist())


def _size_of(value: ObjectRows, axis: str) -> int:
    return next(
        int(getattr(value, name).shape[declared.axes.index(axis)])
        for name, declared in declarations(type(value))
        if declared.dtype and axis in declared.axes and getattr(value, name) is not None
    )


def _shared_sizes(kind: type[ObjectRows], given: Mapping[str, Any]) -> dict[str, int]:
    return {
        axis: size
        for name, declared in declarations(kind)
        if declared.is_shared and given.get(name) is not None
        for axis, size in zip(declared.axes, np.shape(given[name]), strict=False)
    }


def _pick_items(values: tuple[Any, ...], numbers: NDArray[np.int64] | slice) -> tuple[Any, ...]:
    return values[numbers] if isinstance(numbers, slice) else tuple(values[number] for number in numbers.tolist())


def _take_frame(value: Any, t: int, declared: RowField) -> Any:
    """``value`` without its axis T, which is the first of a shared field and the second of others."""
    if declared.is_shared:
        return value[t]
    return value[:, t] if declared.dtype else tuple(item[t] for item in value)


def _as_part(entry: Any, declared: RowField) -> Any:
    """One row's entry as a field of one row."""
    if entry is None:
        return None
    return np.asarray(entry, declared.concrete)[None] if declared.dtype else (entry,)


def _join(name: str, declared: RowField, parts: Sequence[tuple[int, Any]], pad: bool) -> Any:
    """One field of all parts, each (number of rows, its values or None); None where no part has it."""
    parts = [part for part in parts if part[0]] or parts[:1]
    present = [values for _, values in parts if values is not None]
    if not present:
        return None
    if len(present) < len(parts) and declared.fill is MISSING:
        raise ValueError(f"{name}: some rows have it and others do not")
    if declared.dtype is None:
        fill = declared.fill if len(declared.axes) == 1 else (declared.fill,) * len(present[0][0])
        return tuple(item for count, values in parts for item in (values or (fill,) * count))
    tails = {values.shape[1:] for values in present}
    if len(tails) > 1 and (not pad or declared.fill is MISSING or len(set(map(len, tails))) > 1):
        raise ValueError(f"{name} of all rows must have one shape, not {', '.join(map(str, map(list, sorted(tails))))}")
    tail = np.max(list(tails), axis=0).astype(int)
    joined = np.empty((sum(count for count, _ in parts), *tail), np.result_type(*present))
    if declared.fill is not MISSING:
        joined[:] = declared.fill
    start = 0
    for count, values in parts:
        if values is not None:
            joined[start : start + count][tuple(slice(size) for size in values.shape)] = values
        start += count
    return joined


def _is_same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)
