import dataclasses

import numpy as np
import pytest

from res3d.structures import ObjectRows, mask_rows, object_rows, probability_fields, rows, shared
from res3d.structures.arrays import check_probability
from res3d.structures.row_fields import declarations
from res3d.structures.rows import Doubles, Floats, Integers


@object_rows
class Base(ObjectRows):
    boxes: Floats = rows("N T 4")
    chances: Floats | None = rows("N A", default=None, check=check_probability)
    heights: Floats | None = rows("N A", default=None)


@object_rows
class Frames(Base):
    axes = {"N": "D", "T": None}  # noqa: RUF012

    name: str
    scores: Floats = rows("N", check=check_probability)
    masks: tuple[object, ...] | None = mask_rows("N T", default=None)
    times: Doubles = shared("T", np.float64)
    codes: Integers = rows("N E", np.int64, absent=3)


def test_declarations_begin_with_shared_then_new_then_inherited_fields():
    assert [name for name, _ in declarations(Frames)] == [
        "times",
        "scores",
        "masks",
        "codes",
        "boxes",
        "chances",
        "heights",
    ]


def test_declarations_rename_and_remove_axes():
    fields = dict(declarations(Frames))
    assert fields["boxes"].axes == ("D", "4")
    assert fields["masks"].axes == ("D",)
    assert fields["times"].axes == ()
    assert dict(declarations(Base))["boxes"].axes == ("N", "T", "4")


def test_declarations_have_the_arguments_of_rows_and_shared():
    fields = dict(declarations(Frames))
    assert fields["codes"].dtype == np.int64
    assert fields["codes"].absent == 3
    assert [name for name, field in fields.items() if field.is_optional] == ["masks", "chances", "heights"]
    assert [name for name, field in fields.items() if field.is_shared] == ["times"]


def test_object_rows_are_frozen_and_keyword_only():
    with pytest.raises(TypeError):
        Base(np.zeros((1, 2, 4), np.float32))
    instance = Base(boxes=np.zeros((1, 2, 4), np.float32))
    with pytest.raises(dataclasses.FrozenInstanceError):
        instance.boxes = None
    assert instance != Base(boxes=instance.boxes)  # compared by identity


def test_probability_fields_are_optional_arrays_of_probabilities():
    assert probability_fields(Base) == probability_fields(Frames) == {"chances"}
