from dataclasses import MISSING, dataclass, field
from types import UnionType
from typing import Annotated

import pytest

from res3d.settings import Alias, Choice, Deprecated, Tagged, settings_of
from res3d.settings.fields import field_docs, markers_of, origin_of, without_markers


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True)
class Outer:
    name: str
    """Name of the
    object."""
    inner: Inner = Inner()
    items: list[int] = field(default_factory=lambda: [1, 2])
    union: Annotated[Inner, Tagged({"inner": Inner})] = Inner()
    """One of several."""
    old: Annotated[int, Deprecated("older"), Alias("alias")] = 0
    computed: int = field(init=False, default=7)
    """Not a setting."""


def test_settings_of_returns_the_arguments_of_the_constructor_in_order():
    settings = settings_of(Outer)
    assert [setting.name for setting in settings] == ["name", "inner", "items", "union", "old"]
    assert [setting.default for setting in settings] == [MISSING, Inner(), [1, 2], Inner(), 0]
    assert [setting.doc for setting in settings] == ["Name of the object.", "", "", "One of several.", ""]


def test_nested_is_true_for_dataclasses_without_a_tag():
    assert {setting.name: setting.nested for setting in settings_of(Outer)} == {
        "name": False,
        "inner": True,
        "items": False,
        "union": False,
        "old": False,
    }


def test_mark_finds_the_exact_class_of_a_marker():
    old = settings_of(Outer)[-1]
    assert old.mark(Deprecated).names == ("older",)
    assert old.mark(Alias).names == ("alias",), "Deprecated is a subclass of Alias"
    assert old.mark(Choice) is None
    assert len(markers_of(old.hint, Alias)) == 2


def test_field_docs_are_empty_without_source():
    namespace = {"dataclass": dataclass}
    exec('@dataclass\nclass Made:\n    a: int = 0\n    """Doc."""', namespace)
    assert field_docs(namespace["Made"]) == {}


@pytest.mark.parametrize(
    ("hint", "origin", "bare"),
    [
        (int, int, int),
        (list[int], list, list[int]),
        (int | None, UnionType, int | None),
        (Annotated[list[int], "mark"], Annotated, list[int]),
    ],
)
def test_origin_and_type_without_markers(hint, origin, bare):
    assert origin_of(hint) is origin
    assert without_markers(hint) == bare
