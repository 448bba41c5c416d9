"""Rows of objects: frozen dataclasses whose fields declare their axes, dtype and checks.

A class lists its fields and is decorated with ``object_rows``. Its base ``ObjectRows`` checks, selects, joins, converts
and reads the rows::

    @object_rows
    class Poses(ObjectRows):
        frames: Integers = shared("T", np.int64)
        boxes: Floats = rows("N T 4", check=check_boxes)
        keypoints: Floats | None = rows("N T K 3", default=None, fill=0)
        masks: tuple[tuple[Rle, ...], ...] | None = mask_rows("N T", default=None)

A word in a shape names a size that must be the same in all fields of an instance; a number is an exact size; a final
``...`` allows any number of further axes. ``T`` is the axis of frames. A field with ``default=None`` is optional. A
field of plain type (``frame: int``) belongs to the instance as a whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from res3d.settings.types import Class, Value
from res3d.structures.arrays import Array, Doubles, Floats, Integers, Numeric
from res3d.structures.row_fields import cache_by_class, declarations, mask_rows, object_rows, rows, shared
from res3d.structures.row_kinds import MISSING, ArrayField, ItemField, RowField, RowIndices, join_parts

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Doubles",
    "Floats",
    "Integers",
    "ObjectRows",
    "mask_rows",
    "object_rows",
    "rows",
    "shared",
]

Selection = Array | Sequence[int] | slice
"""Indices of rows [n], a mask [N] of bool, or a slice."""

R = TypeVar("R", bound="ObjectRows")

FRAMES = "T"  # axis of frames, which ``at_frame`` removes


@object_rows
class ObjectRows:
    """Base class of frozen dataclasses whose fields have one entry per row.

    Subclasses are decorated with ``object_rows`` and declare their fields with ``rows``, ``shared`` and ``mask_rows``.
    They may override ``check`` and ``describe``, but not ``__post_init__``.

    Raises:
        ValueError: a field has the wrong shape or dtype, or its check does not accept the values.
    """

    axes: ClassVar[Mapping[str, str | None]] = {}
    """Map from the axis names of inherited fields to the names in this class; None removes the axis."""
    is_checked: ClassVar[bool] = True
    """False for classes whose instances are only created from rows that were checked before."""

    def __post_init__(self) -> None:
        if not self.is_checked:
            return
        try:
            _check_fields(self)
            self.check()
        except ValueError as error:
            raise ValueError(f"{self.describe()}{error}") from None

    def check(self) -> None:
        """Check conditions of this class beyond those of its fields; called after the fields have been checked.

        Raises:
            ValueError: a condition is not met.
        """

    def describe(self) -> str:
        """Return the beginning of error messages, such as "track 3: "."""
        return ""

    def __len__(self) -> int:
        return len(getattr(self, _required_field(type(self))))

    def __getitem__(self, selection: Selection) -> "Self":
        """Return the rows selected by indices, mask or slice. Other fields are unchanged; a slice gives array views.

        Raises:
            TypeError: ``selection`` is a single index; use ``rows[[index]]`` for one row.
            IndexError: an index is out of range, or a mask has the wrong length.
        """
        return self.convert(type(self), selection)

    def replace(self, **changes: object) -> "Self":
        """Return a copy with some fields changed."""
        kind = type(self)
        return _build(kind, {name: getattr(self, name) for name in _field_names(kind)} | changes)

    def convert(self, kind: type[R], selection: Selection | None = None, **overrides: object) -> R:
        """Return these rows as another class, which gets the fields that both classes have.

        Args:
            kind: the class.
            selection: rows by indices, mask or slice; by default all rows.
            overrides: values for fields of ``kind`` that these rows lack, or that replace theirs. They are used as they
                are, without ``selection``.
        """
        indices = None if selection is None else _row_indices(selection, len(self))
        values: dict[str, object] = {}
        for name, field in _common_fields(type(self), kind):
            values[name] = value = getattr(self, name)
            if indices is not None and field is not None and value is not None:
                values[name] = field.pick(value, indices)
        return _build(kind, values | overrides)

    def at_frame(self, t: int, kind: type[R], selection: Selection | None = None, **overrides: object) -> R:
        """Return the rows at frame index ``t`` as a class whose fields lack the axis T.

        Args:
            t: index of the frame on the axis T.
            kind: the class; fields that it lacks are dropped.
            selection, overrides: as for ``convert``.
        """
        indices = None if selection is None else _row_indices(selection, len(self))
        values: dict[str, object] = {}
        for name, source, field in _sources_at_frame(type(self), kind):
            value = getattr(self, source)
            if field is not None and value is not None:
                if FRAMES in field.axes:
                    value = field.at_frame(value, t)
                if indices is not None and not field.is_shared:
                    value = field.pick(value, indices)
            values[name] = value.item() if isinstance(value, np.generic) else value
        return _build(kind, values | overrides)

    @classmethod
    def empty(cls, **other_fields: object) -> "Self":
        """Return an instance without rows.

        Args:
            other_fields: shared fields and those of plain type. Sizes that the shared fields do not define are 0.
        """
        sizes = _shared_sizes(cls, other_fields)
        required = [(name, field) for name, field in declarations(cls) if not field.is_shared | field.is_optional]
        return _build(cls, {**{name: field.empty(sizes) for name, field in required}, **other_fields})

    @classmethod
    def concatenate(cls, parts: "Sequence[Self]", *, pad: bool = False, **overrides: Value) -> "Self":
        """Join the rows of all parts, in order. Rows without an optional field get its ``fill`` if others have it.

        Args:
            parts: at least one.
            pad: extend rows of different sizes, such as poses with different numbers of keypoints, to the largest size.
            overrides: values of shared fields and of those of plain type; in all other such fields the parts must be
                equal.

        Raises:
            ValueError: there are no parts; only some rows have an optional field without ``fill``; rows differ in
                shape; the parts differ in a shared field, or one of plain type, without an override.
        """
        if not parts:
            raise ValueError(f"cannot concatenate 0 parts of {cls.__name__}; at least 1 is needed")
        declared, counts = dict(declarations(cls)), [len(part) for part in parts]
        joined: dict[str, object] = {}
        for name in (name for name in _field_names(cls) if name not in overrides):
            values = [getattr(part, name) for part in parts]
            if name in declared and not declared[name].is_shared:
                joined[name] = join_parts(name, declared[name], counts, values, pad=pad)
            elif all(_is_equal(values[0], value) for value in values[1:]):
                joined[name] = values[0]
            else:
                raise ValueError(f"all parts of a {cls.__name__} must have the same {name}")
        return _build(cls, {**joined, **overrides})

    @classmethod
    def from_rows(cls, entries: Sequence[Mapping[str, object]], **other_fields: object) -> "Self":
        """Stack single rows. Rows without an optional field get its ``fill`` if others have it.

        Args:
            entries: one mapping per row from the name of a field to its entry; None if the row lacks the field.
            other_fields: shared fields, those of plain type, and row fields that are complete arrays already.

        Raises:
            ValueError: the entries of a field differ in shape, or the class does not accept the values.
        """
        stacked: dict[str, object] = {}
        for name, field in declarations(cls):
            if not field.is_shared and name not in other_fields:
                values = [None if (entry := row.get(name)) is None else field.single_row(entry) for row in entries]
                stacked[name] = join_parts(name, field, [1] * len(values), values)
        return _build(cls, {**stacked, **other_fields})

    @classmethod
    def from_values(
        cls,
        values: Mapping[str, object],
        *,
        what: str = "rows",
        keep: "Callable[[Self], NDArray[np.bool_]] | None" = None,
        **other_fields: object,
    ) -> "Self":
        """Create rows from a mapping of field names to arrays, tensors or lists; None means that a field is absent.

        Arrays are cut along the axes whose sizes the shared fields define. This drops the frames that pad a clip.

        Args:
            values: the row fields. Masks can be any object that is indexed by row, or by row and frame.
            what: name of the rows in error messages.
            keep: function that returns a mask [N] of the rows to keep; the masks of other rows are not read.
            other_fields: shared fields and those of plain type.

        Raises:
            ValueError: a field is missing or unknown, or the class does not accept the values.
        """
        accepted = {name: field for name, field in declarations(cls) if not field.is_shared}
        _check_names(values, [name for name in _field_names(cls) if name in accepted], accepted, what)
        present = [(name, field, values[name]) for name, field in accepted.items() if values.get(name) is not None]
        sizes = _shared_sizes(cls, other_fields)
        arrays = {name: field.read(value, sizes) for name, field, value in present if isinstance(field, ArrayField)}
        count = len(next(iter(arrays.values()), ()))
        for name, field in accepted.items():
            if isinstance(field, ArrayField) and field.absent is not MISSING:
                arrays.setdefault(name, np.full(count, field.absent, field.dtype))
        without_items = _build(cls, {**arrays, **other_fields})
        indices = np.arange(count) if keep is None else np.flatnonzero(keep(without_items))
        items = {
            name: _read_items(name, value, field, without_items, indices)
            for name, field, value in present
            if isinstance(field, ItemField)
        }
        return without_items[indices].replace(**items)


def _build(kind: Callable[..., R], values: Mapping[str, object]) -> R:
    return kind(**values)


@cache_by_class
def _field_names(kind: Class) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


@cache_by_class
def _common_fields(one: Class, other: Class) -> tuple[tuple[str, RowField | None], ...]:
    """Return the fields of both classes: (name, declaration in ``one``, or None if it has no entry per row)."""
    declared = {name: field for name, field in declarations(one) if not field.is_shared}
    return tuple((name, declared.get(name)) for name in _field_names(other) if name in _field_names(one))


@cache_by_class
def _sources_at_frame(one: Class, other: Class) -> tuple[tuple[str, str, RowField | None], ...]:
    """Return (field of ``other``, field of ``one`` with its values, declaration, or None for a plain type)."""
    declared = dict(declarations(one))
    same_name = [(name, name, declared.get(name)) for name, _ in _common_fields(one, other)]
    singles = [
        (field.single, name, field)
        for name, field in declared.items()
        if field.single is not None and field.single in _field_names(other)
    ]
    return (*same_name, *singles)


def _row_indices(selection: Selection, count: int) -> RowIndices:
    """Return ``selection`` of ``count`` rows as indices or a slice."""
    if isinstance(selection, slice):
        return selection
    if isinstance(selection, np.ndarray) and selection.dtype == np.int64 and selection.ndim == 1:
        return np.asarray(selection, np.int64)
    if np.ndim(selection) != 1:
        raise TypeError(f"rows are selected by indices [n], a mask [N] or a slice, not by {selection!r}")
    indices: RowIndices = np.arange(count)[selection]
    return indices


@cache_by_class
def _required_field(kind: Class) -> str:
    """Return the name of a required field with one entry per row."""
    return next(name for name, field in declarations(kind) if not field.is_shared and not field.is_optional)


@cache_by_class
def _full_names(kind: Class) -> tuple[tuple[str, str, RowField], ...]:
    """Return (name, "Class.name", declaration) of each field."""
    return tuple((name, f"{kind.__name__}.{name}", field) for name, field in declarations(kind))


def _check_fields(instance: ObjectRows) -> None:
    """Check all shapes, then all dtypes and values. Replace optional items that are all None with None."""
    sizes: dict[str, int] = {}
    present: list[tuple[str, RowField, Value]] = []
    for name, full_name, field in _full_names(type(instance)):
        values = getattr(instance, name)
        if values is None and field.is_optional:
            continue
        if values is None:
            raise ValueError(f"{full_name} is missing")
        field.check_shape(full_name, values, sizes)
        present.append((full_name, field, values))
        if isinstance(field, ItemField) and field.is_optional and values and all(item is None for item in values):
            object.__setattr__(instance, name, None)
    for full_name, field, values in present:
        field.check_values(full_name, values)


def _check_names(
    values: Mapping[str, object], names: Sequence[str], declared: Mapping[str, RowField], what: str
) -> None:
    """Raise ValueError if a mapping has an unknown name or lacks a required one."""
    if unknown := sorted(map(str, set(values) - set(names))):
        raise ValueError(f"{what} have no {', '.join(map(repr, unknown))} (accepted: {', '.join(names)})")
    required = [name for name in names if not declared[name].is_optional and declared[name].absent is MISSING]
    if missing := [name for name in required if values.get(name) is None]:
        raise ValueError(f"{what} lack {', '.join(missing)}; they have {', '.join(sorted(values)) or 'nothing'}")


def _read_items(
    name: str, values: Numeric, field: ItemField, instance: ObjectRows, indices: NDArray[np.int64]
) -> object:
    """Return the items of the rows with these indices."""
    if len(values) != len(instance):
        full_name = f"{type(instance).__name__}.{name}"
        raise ValueError(f"{full_name} must have one entry per row, {len(instance)}, not {len(values)}")
    sizes: dict[str, int] = {}
    for other, array_field in declarations(type(instance)):
        if isinstance(array_field, ArrayField) and getattr(instance, other) is not None:
            array_field.check_shape(other, getattr(instance, other), sizes)
    return field.read(values, indices.tolist(), sizes)


def _shared_sizes(kind: type[ObjectRows], values: Mapping[str, object]) -> dict[str, int]:
    """Return the sizes of the axes of the shared fields in ``values``."""
    sizes: dict[str, int] = {}
    for name, field in declarations(kind):
        if field.is_shared and isinstance(array := values.get(name), np.ndarray):
            sizes |= zip(field.axes, array.shape, strict=False)
    return sizes


def _is_equal(one: object, other: object) -> bool:
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else one == other  # type: ignore[arg-type]
