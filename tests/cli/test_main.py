import json
import os
import runpy
import subprocess
import sys

import pytest
import torch
import yaml
from helpers.paths import ROOT

import res3d
from res3d.cli import main
from res3d.cli.main import COMMANDS
from res3d.settings.names import targets_of
from res3d.settings.tables import resolve

TOOLS = {
    "benchmark": "benchmark.py",
    "extract": "extract_features.py",
    "classify": "classify.py",
    "convert": "convert_weights.py",
    "describe": "describe.py",
    "evaluate": "evaluate.py",
    "track": "detect_and_track.py",
    "train": "train.py",
    "sample": "make_sample.py",
}


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    with pytest.raises(SystemExit) as caught:
        main(["extract", "--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"res3d {res3d.__version__}\nres3d extract {res3d.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys, arguments):
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_unknown_command_is_refused_with_a_suggestion(capsys):
    assert main(["extrct"]) == 2
    assert (
        capsys.readouterr().err == "res3d: error: unknown command 'extrct'; did you mean 'extract'? "
        "(accepted: extract, classify, track, describe, train, evaluate, benchmark, convert, sample)\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_script_in_tools_runs_the_command(name, capsys, monkeypatch):
    script = str(ROOT / "tools" / TOOLS[name])
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(script, run_name="__main__")
    assert caught.value.code == 0
    assert f"usage: res3d {name} [options]" in capsys.readouterr().out


def test_script_in_tools_runs_as_a_process():
    script = ROOT / "tools" / TOOLS["describe"]
    run = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "usage: res3d describe [options]" in run.stdout


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("sample", "OUT"),
        ("convert", "IN OUT"),
        ("evaluate", "PRED GT"),
        ("describe", "NAME ..."),
        ("extract", "[videos ...]"),
    ],
)
def test_usage_line_has_the_positional_words(name, needs, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert capsys.readouterr().out.splitlines()[0] == f"usage: res3d {name} [options] {needs}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_accepts_threads_and_print_config(name, tmp_path, capsys, one_thread, monkeypatch):
    required = {
        "train": ["--model", "{kind: classifier, backbone: r3d_18}", "--train", "{kind: labelled, source: x}"],
    }
    with pytest.raises(SystemExit, match="0"):
        main([name, "--threads", "2", "--print-config", *required.get(name, [])])
    captured = capsys.readouterr()
    assert yaml.safe_load(captured.out)["computing"]["threads"] == 2
    assert captured.err == ""
    assert torch.get_num_threads() == 2
    (tmp_path / "c.yaml").write_text(captured.out)
    with pytest.raises(SystemExit, match="0"):
        main([name, "--config", str(tmp_path / "c.yaml"), "--print-config"])
    assert capsys.readouterr().out == captured.out


def test_every_setting_has_a_docstring():
    for name, (command, _) in COMMANDS.items():
        for target in targets_of(resolve(command)):
            assert target.setting.doc, f"{name}: {target.path}"


WITHOUT_TORCH = [
    *(["--help"], ["--version"], ["extrct"], ["extract", "--lenght", "3"], ["convert", "--inflate", "x"]),
    *([name, "--help"] for name in COMMANDS if name != "train"),
]


@pytest.fixture(scope="module")
def torch_imports() -> list[bool]:
    """For each command line, whether it imported torch in a new process.

    One process runs all of them, and torch is removed from ``sys.modules`` after each, so that each is independent.
    """
    code = f"""
import contextlib, io, json, sys
from res3d.cli import main
imports = []
for arguments in {WITHOUT_TORCH}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(arguments)
    imports.append(sys.modules.pop("torch", None) is not None)
    for name in [name for name in sys.modules if name.startswith("res3d.") and not name.startswith("res3d.settings")]:
        del sys.modules[name]
print(json.dumps(imports))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(WITHOUT_TORCH)), ids=[" ".join(words) for words in WITHOUT_TORCH])
def test_help_and_invalid_flags_do_not_import_torch(torch_imports, number):
    assert not torch_imports[number]


def test_package_runs_as_a_module(capsys):
    run = subprocess.run([sys.executable, "-m", "res3d", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"res3d {res3d.__version__}\n"


def test_command_sets_the_waiting_policy_of_idle_threads():
    code = "import os; from res3d.cli import main; main(['--version']); print(os.environ['GOMP_SPINCOUNT'])"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "10000"


def test_closed_output_pipe_gives_no_traceback():
    command = f"{sys.executable} -m res3d extract --help | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert run.stderr == ""
