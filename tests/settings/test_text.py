from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from res3d.settings import Choice
from res3d.settings.text import from_text, yaml_value


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "3", 3),
        (float, "1e-3", 0.001),
        (float, ".5", 0.5),
        (bool, "true", True),
        (str, "3", "3"),
        (str, "null", "null"),
        (Path, "3", "3"),
        (int | None, "none", None),
        (int | None, "null", None),
        (str | None, "null", None),
        (str | None, "none", "none"),
        (Annotated[str | None, Choice(("none", "all"))], "none", "none"),
        (list[int], "1,2", [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[str], "a, b", ["a", "b"]),
        (list[str], "", []),
        (tuple[int, str], "1,2", [1, "2"]),
        (tuple[float, ...], "1e-1,2", [0.1, 2]),
        (dict[str, int], "{a: 1}", {"a": 1}),
        (Literal[1, "two"], "1", 1),
        (Literal[1, "two"], "two", "two"),
        (int | tuple[int, int], "[1, 2]", [1, 2]),
        (Any, "{a: [1e-3]}", {"a": ["1e-3"]}),
        (int, "x", "x"),
    ],
)
def test_text_is_converted_by_type(hint, text, value):
    result = from_text(hint, text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("1e-3", 0.001), ("yes", True), ("a: [b", "a: [b"), ("", None), ("-", [None])]
)
def test_yaml_value(text, value):
    assert yaml_value(text) == value
