from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from res3d.settings import Alias, Deprecated, Positional, Short, Tagged, Variant
from res3d.settings.names import flag_of, is_open, names_of, positional_of, targets_of


@dataclass(frozen=True)
class Deep:
    max_lost: int = 3


@dataclass(frozen=True)
class Inner:
    size: Annotated[int, Alias("extent")] = 3
    deep: Deep = Deep()


@dataclass(frozen=True)
class Command:
    files: Annotated[list[str], Positional("[FILE ...]")] = field(default_factory=list)
    inner: Annotated[Inner, Short("inner_{}", "{}")] = Inner()
    draw: Annotated[bool, Deprecated("paint")] = True
    options: dict[str, Any] = field(default_factory=dict)


def test_targets_have_all_names_of_each_setting():
    assert {".".join(target.path): target.names for target in targets_of(Command)} == {
        "files": ("files",),
        "inner": ("inner",),
        "inner.size": ("inner_size", "size", "inner.size", "extent"),
        "inner.deep": ("inner.deep",),
        "inner.deep.max_lost": ("inner.deep.max_lost",),
        "draw": ("draw",),
        "options": ("options",),
    }


def test_deprecated_names_are_found_but_not_listed():
    target = names_of(Command)["paint"]
    assert (target.names, target.deprecated) == (("draw",), ("paint",))
    assert names_of(Command)["draw"] is target


def test_flag_is_the_first_name_with_hyphens():
    assert flag_of("inner.deep.max_lost") == "--inner.deep.max-lost"
    assert names_of(Command)["extent"].flag == "--inner-size"


def test_positional_setting():
    assert positional_of(Command).path == ("files",)
    assert positional_of(Inner) is None


def test_switches_and_open_settings():
    targets = names_of(Command)
    assert targets["draw"].is_switch
    assert targets["options"].is_open
    assert not any((targets["size"].is_switch, targets["size"].is_open, targets["inner"].is_open))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (dict[str, int], True),
        (dict[str, int] | None, True),
        (Variant[Any], True),
        (Annotated[Inner | None, Tagged({"inner": Inner})], True),
        (list[int], False),
        (Inner, False),
        (Annotated[str, Alias("x")], False),
    ],
)
def test_is_open(hint, expected):
    assert is_open(hint) == expected
