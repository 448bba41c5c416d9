import sys

import pytest

from res3d.settings.tables import words_of

MODULE = """
from typing import Literal, get_args
PLAIN = ("a", "b")
TABLE: dict[str, int] = {"c": 1, "d": 2}
Word = Literal["e", "f"]
WORDS = get_args(Word)
COMPUTED = tuple("gh")
print("imported")
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").touch()
    (tmp_path / "heavy" / "inner.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("heavy")
    yield "heavy.inner"
    for name in ("heavy", "heavy.inner"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "words", "imported"),
    [("PLAIN", "ab", False), ("TABLE", "cd", False), ("WORDS", "ef", False), ("COMPUTED", "gh", True)],
)
def test_words_of_literals_are_read_without_importing_the_module(package, capsys, name, words, imported):
    assert words_of(f"{package}:{name}") == tuple(words)
    assert ("imported" in capsys.readouterr().out) == imported
    __import__(package)
    assert words_of(f"{package}:{name}") == tuple(words)
