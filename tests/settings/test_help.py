from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from res3d.settings import Choice, Group, Positional, Shown, Tagged, choices_of, format_help
from res3d.settings.fields import settings_of
from res3d.settings.help import grouped, meaning_of, usage, value_word

LONG = tuple(f"long_word_{number}" for number in range(6))


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True)
class Command:
    """Do it."""

    files: Annotated[list[str], Positional("[FILE ...]")] = field(default_factory=list)
    number: int = 3
    """A number."""
    share: float | None = None
    text: str = ""
    path: Path = Path("a")
    pair: tuple[int, float] = (1, 2.0)
    names: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    mode: Literal["on", "off"] = "on"
    word: Annotated[str, Choice(LONG), Group("words")] = LONG[0]
    """A word."""
    words: Annotated[list[Annotated[str, Choice(("a", "b"))]], Group("words")] = field(default_factory=list)
    clip: Annotated[str, Shown("CxTxHxW")] = ""
    member: Annotated[Inner, Tagged({"inner": Inner})] = Inner()
    bare: Annotated[Inner, Tagged({"inner": Inner}, bare=True)] = Inner()
    inner: Inner = Inner()
    """Inner settings."""


SETTINGS = {setting.name: setting for setting in settings_of(Command)}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("number", "N"),
        ("share", "X"),
        ("text", "TEXT"),
        ("path", "PATH"),
        ("pair", "N,X"),
        ("names", "TEXT,..."),
        ("options", "{KEY: VALUE, ...}"),
        ("mode", "on|off"),
        ("word", "WORD"),
        ("words", "a|b,..."),
        ("clip", "CxTxHxW"),
        ("member", "{kind: inner, ...}"),
        ("bare", "inner"),
    ],
)
def test_placeholder_of_a_value(name, word):
    assert value_word(SETTINGS[name]) == word


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("number", "A number. (default: 3)"),
        ("share", ""),
        ("pair", "(default: 1,2.0)"),
        ("word", f"A word. One of {', '.join(LONG)}. (default: {LONG[0]})"),
        ("bare", "(default: inner)"),
    ],
)
def test_description_of_a_setting(name, text):
    assert meaning_of(SETTINGS[name]) == text


def test_required_setting_has_no_default():
    @dataclass(frozen=True)
    class Required:
        number: int

    assert meaning_of(settings_of(Required)[0]) == "(default: none; required)"


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Literal[1, "two"] | None, ("1", "two")),
        (list[Annotated[str, Choice(("a", "b"))]], ("a", "b")),
        (Annotated[Inner, Tagged({"inner": Inner})], ("inner",)),
        (int, ()),
    ],
)
def test_choices_of_a_type(hint, words):
    assert choices_of(hint) == words


def test_settings_are_grouped_by_heading():
    groups = grouped(Command)
    assert list(groups) == ["options", "words", "inner (inner settings)"]
    assert [target.path for target in groups["words"]] == [("word",), ("words",)]
    assert [target.path for target in groups["inner (inner settings)"]] == [("inner", "size")]


def test_usage_line():
    assert usage(Command, "res3d do") == "usage: res3d do [options] [FILE ...]"
    assert usage(Inner, "res3d do") == "usage: res3d do [options]"


@pytest.mark.parametrize(("columns", "width"), [("20", 60), ("80", 80), ("500", 110)])
def test_help_is_wrapped_to_the_terminal(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    lengths = [len(line) for line in format_help(Command, "res3d do").splitlines()]
    assert max(lengths) <= width
    assert max(lengths) > width - 25
