import re

import pytest
from helpers.paths import ROOT

from res3d.settings import missing_extra


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, 'tables need pandas: pip install "res3d[tables]"'),
        (ImportError("libx.so not found"), 'tables need pandas: pip install "res3d[tables]" (libx.so not found)'),
    ],
)
def test_missing_extra_names_the_package_and_the_command(reason, text):
    error = missing_extra("tables", "tables need pandas", reason)
    assert isinstance(error, ImportError)
    assert str(error) == text


def test_every_extra_in_a_message_is_declared():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    declared = set(re.findall(r"^(\w+) = ", section, re.M))
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "res3d").rglob("*.py")]
    named = {name for source in sources for name in re.findall(r'missing_extra\(\s*"(\w+)"', source)}
    assert named
    assert named <= declared
