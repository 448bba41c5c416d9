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
from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from res3d.settings.types import Class, Value
from res3d.structures.arrays import Array, Doubles, Floats, Integers, Numeric
from res3d.structures.row_fields import cache_by_class, declarations, mask_rows, object_rows, rows, shared
from res3d.structures.row_kinds import MISSING, ArrayField, ItemField, Numbers, RowField, join_parts

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
    is_checked: ClassVar[bool] = True
    """False for classes that are only made of fields of checked rows."""

    def __post_init__(self) -> None:
        if not self.is_checked:
            return
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
        return len(getattr(self, _required_rows(type(self))))

    def __getitem__(self, selection: Selection) -> "Self":
        """Rows by numbers, mask or slice; other fields stay. Arrays are views where NumPy gives views.

        Raises:
            TypeError: a single number; its row is ``rows[[number]]``.
            IndexError: numbers beyond the rows, or a mask of another length.
        """
        return self.convert(type(self), selection)

    def replace(self, **changes: object) -> "Self":
        """Return the same with other fields."""
        kind = type(self)
        return _build(kind, {name: getattr(self, name) for name in _names(kind)} | changes)

    def convert(self, kind: type[R], selection: Selection | None = None, **given: object) -> R:
        """Return these rows as another class: fields of the same name, and those that are ``given``.

        Args:
            kind: the class.
            selection: rows by numbers, mask or slice; by default all. Given fields are taken as they are.
            given: fields of ``kind`` that these rows do not have, or that are to be others.
        """
        numbers = None if selection is None else _numbers(selection, len(self))
        values: dict[str, object] = {}
        for name, declared in _fields_of_both(type(self), kind):
            values[name] = value = getattr(self, name)
            if numbers is not None and declared is not None and value is not None:
                values[name] = declared.pick(value, numbers)
        return _build(kind, values | given)

    def at_frame(self, t: int, kind: type[R], selection: Selection | None = None, **given: object) -> R:
        """Return the rows at frame ``t`` (its place on the axis T) as a class whose fields lack that axis.

        Args:
            t: place of the frame on the axis T.
            kind: the class; what it has no field for is left out.
            selection, given: as for ``convert``.
        """
        numbers = None if selection is None else _numbers(selection, len(self))
        values: dict[str, object] = {}
        for name, source, declared in _sources_at_frame(type(self), kind):
            value = getattr(self, source)
            if declared is not None and value is not None:
                if FRAMES in declared.axes:
                    value = declared.at_frame(value, t)
                if numbers is not None and not declared.is_shared:
                    value = declared.pick(value, numbers)
            values[name] = value.item() if isinstance(value, np.generic) else value
        return _build(kind, values | given)

    @classmethod
    def empty(cls, **given: object) -> "Self":
        """Return no rows; sizes that the ``given`` fields (shared or of plain type) do not tell are 0."""
        sizes = _shared_sizes(cls, given)
        needed = [(n, declared) for n, declared in declarations(cls) if not declared.is_shared | declared.is_optional]
        return _build(cls, {**{name: declared.empty(sizes) for name, declared in needed}, **given})

    @classmethod
    def concatenate(cls, parts: "Sequence[Self]", *, pad: bool = False, **given: Value) -> "Self":
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
        declared, counts = dict(declarations(cls)), [len(part) for part in parts]
        joined: dict[str, object] = {}
        for name in (name for name in _names(cls) if name not in given):
            values = [getattr(part, name) for part in parts]
            if name in declared and not declared[name].is_shared:
                joined[name] = join_parts(name, declared[name], counts, values, pad=pad)
            elif all(_is_same(values[0], value) for value in values[1:]):
                joined[name] = values[0]
            else:
                raise ValueError(f"parts of one {cls.__name__} must have the same {name}")
        return _build(cls, {**joined, **given})

    @classmethod
    def from_rows(cls, entries: Sequence[Mapping[str, object]], **given: object) -> "Self":
        """Stack rows, each a mapping from fields to its entry there (None: it has none); other fields are ``given``.

        Rows without an optional field get its ``fill`` if others have it.

        Raises:
            ValueError: entries that differ in shape, or what the class refuses.
        """
        made: dict[str, object] = {}
        for name, declared in declarations(cls):
            if not declared.is_shared and name not in given:
                values = [None if (entry := each.get(name)) is None else declared.one(entry) for each in entries]
                made[name] = join_parts(name, declared, [1] * len(values), values)
        return _build(cls, {**made, **given})

    @classmethod
    def from_values(
        cls,
        values: Mapping[str, object],
        *,
        what: str = "rows",
        keep: "Callable[[Self], NDArray[np.bool_]] | None" = None,
        **given: object,
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
        present = [
            (name, declared, values[name]) for name, declared in accepted.items() if values.get(name) is not None
        ]
        sizes = _shared_sizes(cls, given)
        arrays = {name: d.read(value, sizes) for name, d, value in present if isinstance(d, ArrayField)}
        count = len(next(iter(arrays.values()), ()))
        for name, d in accepted.items():
            if isinstance(d, ArrayField) and d.absent is not MISSING:
                arrays.setdefault(name, np.full(count, d.absent, d.dtype))
        made = _build(cls, {**arrays, **given})
        kept = np.arange(count) if keep is None else np.flatnonzero(keep(made))
        items = {
            name: _read_items(name, value, d, made, kept) for name, d, value in present if isinstance(d, ItemField)
        }
        return made[kept].replace(**items)


def _build(kind: Callable[..., R], values: Mapping[str, object]) -> R:
    return kind(**values)


@cache_by_class
def _names(kind: Class) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


@cache_by_class
def _fields_of_both(one: Class, other: Class) -> tuple[tuple[str, RowField | None], ...]:
    """(name of a field of both classes, declaration in ``one`` if it has one entry per row)."""
    declared = {name: each for name, each in declarations(one) if not each.is_shared}
    return tuple((name, declared.get(name)) for name in _names(other) if name in _names(one))


@cache_by_class
def _sources_at_frame(one: Class, other: Class) -> tuple[tuple[str, str, RowField | None], ...]:
    """(field of ``other``, the field of ``one`` that has its values, declaration if it is an array or items)."""
    declared = dict(declarations(one))
    same = [(name, name, declared.get(name)) for name, _ in _fields_of_both(one, other)]
    singles = [
        (d.single, name, d) for name, d in declared.items() if d.single is not None and d.single in _names(other)
    ]
    return (*same, *singles)


def _numbers(selection: Selection, count: int) -> Numbers:
    """Return numbers of rows, or a slice, of ``count`` rows."""
    if isinstance(selection, slice):
        return selection
    if isinstance(selection, np.ndarray) and selection.dtype == np.int64 and selection.ndim == 1:
        return np.asarray(selection, np.int64)
    if np.ndim(selection) != 1:
        raise TypeError(f"rows are picked by numbers [n], a mask [N] or a slice, not by {selection!r}")
    numbers: Numbers = np.arange(count)[selection]
    return numbers


@cache_by_class
def _required_rows(kind: Class) -> str:
    """Return the name of a field that all values of a class have, with one entry per row."""
    return next(name for name, d in declarations(kind) if not d.is_shared and not d.is_optional)


@cache_by_class
def _full_names(kind: Class) -> tuple[tuple[str, str, RowField], ...]:
    """(name, name with the class, declaration) of each field."""
    return tuple((name, f"{kind.__name__}.{name}", declared) for name, declared in declarations(kind))


def _check_fields(value: ObjectRows) -> None:
    """Check shapes, then types and values; optional items that are all None become None."""
    sizes: dict[str, int] = {}
    held: list[tuple[str, RowField, Value]] = []
    for name, full_name, declared in _full_names(type(value)):
        values = getattr(value, name)
        if values is None and declared.is_optional:
            continue
        if values is None:
            raise ValueError(f"{full_name} is missing")
        declared.check_shape(full_name, values, sizes)
        held.append((full_name, declared, values))
        if isinstance(declared, ItemField) and declared.is_optional and values and all(i is None for i in values):
            object.__setattr__(value, name, None)
    for full_name, declared, values in held:
        declared.check_values(full_name, values)


def _check_names(
    values: Mapping[str, object], names: Sequence[str], declared: Mapping[str, RowField], what: str
) -> None:
    """Refuse a mapping with an unknown name, or without a required one."""
    if unknown := sorted(map(str, set(values) - set(names))):
        raise ValueError(f"{what} have no {', '.join(map(repr, unknown))} (accepted: {', '.join(names)})")
    needed = [name for name in names if not declared[name].is_optional and declared[name].absent is MISSING]
    if missing := [name for name in needed if values.get(name) is None]:
        raise ValueError(f"{what} lack {', '.join(missing)}; they have {', '.join(sorted(values)) or 'nothing'}")


def _read_items(
    name: str, values: Numeric, declared: ItemField, made: ObjectRows, numbers: NDArray[np.int64]
) -> object:
    """Return the items of the rows with these numbers."""
    if len(values) != len(made):
        raise ValueError(f"{type(made).__name__}.{name} must have one entry per row, {len(made)}, not {len(values)}")
    sizes: dict[str, int] = {}
    for other, d in declarations(type(made)):
        if isinstance(d, ArrayField) and getattr(made, other) is not None:
            d.check_shape(other, getattr(made, other), sizes)
    return declared.read(values, numbers.tolist(), sizes)


def _shared_sizes(kind: type[ObjectRows], given: Mapping[str, object]) -> dict[str, int]:
    """Return the sizes of the axes of the given shared fields."""
    sizes: dict[str, int] = {}
    for name, declared in declarations(kind):
        if declared.is_shared and isinstance(array := given.get(name), np.ndarray):
            sizes |= zip(declared.axes, array.shape, strict=False)
    return sizes


def _is_same(one: object, other: object) -> bool:
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else one == other  # type: ignore[arg-type]
