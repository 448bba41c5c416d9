"""Rules of the house that are kept by tests: which room may use which, what is public, what the README promises."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

import res3d

PACKAGE = ROOT / "res3d"

# Each package and the packages that it imports: exactly these. Arrows run one way; ``settings`` is open to all.
ARROWS = {
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
EVERYWHERE = {"version", "files", "lazy", "moved", "results", "settings", "threads"}


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("res3d.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return rooms


@pytest.mark.parametrize("room", sorted(ARROWS))
def test_the_arrows_are_those_of_the_table(room):
    imported = set().union(*map(imported_rooms, sorted((PACKAGE / room).rglob("*.py"))))
    assert imported - {room} - EVERYWHERE == set(ARROWS[room].split())


def test_every_room_is_in_the_table_and_no_arrow_runs_back():
    rooms = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ARROWS)
    order = list(ARROWS)
    for room, imported in ARROWS.items():
        assert all(order.index(other) < order.index(room) for other in imported.split())


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=lambda p: p.name)
def test_tools_hold_no_logic(path):
    assert imported_rooms(path) == {"cli"}
    assert len(path.read_text().splitlines()) < 15


def test_importing_the_package_imports_no_training_or_drawing_library():
    heavy = ("cv2", "matplotlib", "pandas", "pytorch_lightning", "pytorchvideo", "scipy", "supervision", "trackeval")
    names = "res3d.extract_features, res3d.load_model, res3d.detection, res3d.video"
    code = f"import sys, res3d; {names}; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_public_names_exist_and_are_documented():
    for name in res3d.__all__:
        assert getattr(res3d, name).__doc__ or name == "__version__", name


def test_tests_mirror_the_rooms():
    rooms = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and not p.name.startswith((".", "_"))}
    assert rooms - {"parity", "fixtures"} == set(ARROWS)


def test_the_readme_names_files_that_exist():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


@pytest.mark.parametrize(("name", "count"), [("README.md", 2), ("docs/detection.md", 1)])
def test_what_the_documents_show_is_what_comes_out(name, count):
    """Their Python examples, but for the one that reads a user's file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if ">>>" in b and "np.load" not in b]
    assert len(blocks) == count
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name, name, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
