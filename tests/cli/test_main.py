import subprocess
import sys
from pathlib import Path

import pytest

import res3d
from res3d.cli import main
from res3d.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent.parent
TOOLS = {
    "benchmark": "benchmark.py",
    "extract": "extract_features.py",
    "classify": "classify.py",
    "convert": "convert_weights.py",
    "describe": "describe.py",
    "evaluate": "evaluate.py",
    "track": "detect_and_track.py",
    "train": "train.py",
}


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    with pytest.raises(SystemExit) as leaving:
        main(["extract", "--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"res3d {res3d.__version__}\nres3d extract {res3d.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys, arguments):
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_an_unknown_command_is_refused(capsys):
    assert main(["extrct"]) == 2
    assert (
        capsys.readouterr().err == "res3d: error: unknown command 'extrct' "
        "(accepted: extract, classify, track, describe, train, evaluate, benchmark, convert)\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_script_and_says_what_it_does(name):
    run = subprocess.run(
        [sys.executable, ROOT / "tools" / TOOLS[name], "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0
    assert f"usage: res3d {name} [options]" in run.stdout


@pytest.mark.parametrize(
    ("name", "needs"),
    [("convert", "IN OUT"), ("evaluate", "PRED GT"), ("describe", "NAME ..."), ("extract", "[videos ...]")],
)
def test_usage_says_what_has_to_be_there(name, needs, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert capsys.readouterr().out.splitlines()[0] == f"usage: res3d {name} [options] {needs}"
