"""Structure of the repository: imports between subpackages, public names, links and examples in the documents."""

import ast
import doctest
import re
from pathlib import Path

import pytest
from helpers.paths import ROOT

import res3d

PACKAGE = ROOT / "res3d"

# Each subpackage and exactly the subpackages that it imports, in an order without backward imports.
IMPORTS = {
    "settings": "",
    "ops": "",
    "clips": "",
    "backbone": "clips",
    "inference": "backbone",
    "structures": "ops",
    "weights": "backbone clips",
    "video": "clips",
    "data": "clips ops structures video",
    "detection": "backbone ops structures weights",
    "features": "backbone clips inference structures video weights",
    "tracking": "clips ops structures video",
    "evaluation": "ops structures",
    "training": "backbone clips data detection evaluation weights",
    "viz": "backbone structures video",
    "cli": (
        "backbone clips data detection evaluation features inference structures tracking training video viz weights"
    ),
}
EVERYWHERE = {"version", "files", "lazy", "moved", "results", "settings", "threads"}  # every subpackage may import them


def imported_subpackages(path: Path) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        imported |= {name.split(".")[1] for name in names if name.startswith("res3d.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return imported


@pytest.mark.parametrize("subpackage", sorted(IMPORTS))
def test_imports_equal_the_table(subpackage):
    imported = set().union(*map(imported_subpackages, sorted((PACKAGE / subpackage).rglob("*.py"))))
    assert imported - {subpackage} - EVERYWHERE == set(IMPORTS[subpackage].split())


def test_table_has_every_subpackage_and_no_backward_import():
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == set(IMPORTS)
    order = list(IMPORTS)
    for subpackage, imported in IMPORTS.items():
        assert all(order.index(other) < order.index(subpackage) for other in imported.split())


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=lambda p: p.name)
def test_tools_only_call_the_command_line(path):
    assert imported_subpackages(path) == {"cli"}
    assert len(path.read_text().splitlines()) < 15


def test_public_names_have_docstrings():
    for name in res3d.__all__:
        assert getattr(res3d, name).__doc__ or name == "__version__", name


def test_test_folders_mirror_the_subpackages():
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and not p.name.startswith((".", "_"))}
    assert folders - {"parity", "fixtures", "helpers"} == set(IMPORTS)


def test_links_in_documents_point_to_existing_files():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("README.md", 2), ("docs/detection.md", 1)])
def test_python_examples_in_documents(name, count):
    """All Python examples run, except one that reads a file of the user."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if ">>>" in b and "np.load" not in b]
    assert len(blocks) == count
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name, name, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
