import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from helpers.processes import restore_sigint

from res3d.cli.command import Command, run_command
from res3d.cli.computing import Computing
from res3d.cli.errors import Interrupted, UsageError
from res3d.settings import Deprecated, Positional, Short


@dataclass(frozen=True, kw_only=True)
class Greet(Command):
    """Say hello."""

    names: Annotated[list[str], Positional("[names ...]")] = field(default_factory=list)
    """Persons to greet."""
    times: Annotated[int, Deprecated("number")] = 1
    """Number of greetings."""
    mood: Literal["glad", "sad"] = "glad"
    """Mood of the greeting."""
    pause: float | None = None
    """Pause in seconds."""
    tones: tuple[float, float] = (1.0, 2.0)
    """Two pitches."""
    very_loud: bool = False
    """Shout."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    def run(self) -> int:
        if self.times == 13:
            raise UsageError("--times must not be 13")
        if self.times == 99:
            raise KeyboardInterrupt
        if self.times == 98:
            raise Interrupted("half a greeting is in x")
        if self.times == 97:
            raise ValueError("a bug in the command")
        print(self.names, self.times, self.mood, self.pause, self.tones, self.very_loud)
        return 0 if self.names else 1


def run(*arguments: object) -> int:
    return run_command(Greet, "greet", [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["a", "b", "--times", 3], "['a', 'b'] 3 glad None (1.0, 2.0) False"),
        (["a", "--very-loud", "--mood", "sad"], "['a'] 1 sad None (1.0, 2.0) True"),
        (["a", "--pause=0.5", "--tones", "[3, 4.5]"], "['a'] 1 glad 0.5 (3.0, 4.5) False"),
        (["--names", "a,b"], "['a', 'b'] 1 glad None (1.0, 2.0) False"),
        (["--names", "[a, b]"], "['a', 'b'] 1 glad None (1.0, 2.0) False"),
        (["--times", 2, "a", "--no-very-loud", "b"], "['a', 'b'] 2 glad None (1.0, 2.0) False"),
        (["a", "--", "--times", "-1"], "['a', '--times', '-1'] 1 glad None (1.0, 2.0) False"),
        (["it's {odd}: [x", "ü\\n"], repr(["it's {odd}: [x", "ü\\n"]) + " 1 glad None (1.0, 2.0) False"),
    ],
)
def test_fields_are_set_from_the_command_line(capsys, arguments, printed):
    assert run(*arguments) == 0
    assert capsys.readouterr().out.strip() == printed


def test_exit_code_is_the_return_value_of_run(capsys):
    assert run() == 1
    assert capsys.readouterr().out.startswith("[] 1")


def test_flags_override_the_configuration(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("names: [x, y]\ntimes: 5\nvery_loud: true\ntones: [5, 6]\n")
    assert run("--config", config) == 0
    assert run("--config", config, "z", "--times", 6, "--no-very-loud") == 0
    assert capsys.readouterr().out.splitlines() == [
        "['x', 'y'] 5 glad None (5.0, 6.0) True",
        "['z'] 6 glad None (5.0, 6.0) False",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tims", "3"], "unknown option '--tims'; did you mean '--times'?"),
        (["--xyz"], "unknown option '--xyz'; see --help"),
        (["--times", "x"], "--times: expected a whole number, not 'x'"),
        (["--mood", "mad"], "--mood: expected one of glad, sad, not 'mad'; did you mean 'sad'?"),
        (["--pause", "long"], "--pause: expected a number, not 'long'"),
        (["--tones", "1"], "--tones: expected 2 values, not [1]"),
        (["--times", "13"], "--times must not be 13"),
        (["--times"], "--times needs a value (Number of greetings)"),
        (["--time", "3"], "unknown option '--time'; did you mean '--times'?"),
        (["--threads", "0"], "threads must be ≥ 1, not 0"),
    ],
)
def test_invalid_command_line_gives_one_line_and_exit_code_2(capsys, arguments, message):
    assert run("a", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"res3d greet: error: {message}\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tmes: 3", "unknown key 'tmes'; did you mean 'times'?"),
        ("times: x", "times: expected a whole number, not 'x'"),
        ("names: [x", ""),
    ],
)
def test_invalid_configuration_gives_one_line_and_exit_code_2(tmp_path, capsys, text, message):
    config = tmp_path / "c.yaml"
    config.write_text(text)
    assert run("--config", config) == 2
    error = capsys.readouterr().err
    assert message in error
    assert re.fullmatch(r"res3d greet: error: [^\n]+\n", error)


def test_configuration_with_exploding_aliases_is_refused(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    )
    assert run("--config", config) == 2
    error = capsys.readouterr().err
    assert "aliases expand to more than" in error
    assert len(error) < 300


def test_missing_configuration_is_named(capsys):
    assert run("--config", "nowhere.yaml") == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_ctrl_c_gives_exit_code_130(capsys):
    assert run("--times", "99") == 130
    assert "interrupted" in capsys.readouterr().err


def test_ctrl_c_ends_the_process_with_exit_code_130():
    code = """
import sys, time
from dataclasses import dataclass
from res3d.cli.command import Command, run_command
from res3d.cli.computing import Computing

@dataclass(frozen=True, kw_only=True)
class Wait(Command):
    computing: Computing = Computing()
    def run(self):
        print("ready", flush=True)
        time.sleep(60)

sys.exit(run_command(Wait, "wait", []))
"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, preexec_fn=restore_sigint
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "\nres3d wait: interrupted; finished files are kept\n"


def test_ctrl_c_prints_the_message_of_interrupted(capsys):
    assert run("--times", "98") == 130
    assert capsys.readouterr().err == "\nres3d greet: interrupted; half a greeting is in x\n"


def test_value_error_of_run_is_not_caught():
    with pytest.raises(ValueError, match="a bug in the command"):
        run("--times", "97")


def test_deprecated_flag_prints_the_new_name_and_old_key_is_accepted(tmp_path, capsys):
    assert run("a", "--number", "3") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("['a'] 3 ")
    assert captured.err == "res3d greet: --number is now called --times\n"
    (tmp_path / "c.yaml").write_text("number: 4\n")
    assert run("a", "--config", tmp_path / "c.yaml") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("['a'] 4 ")
    assert captured.err == ""


@pytest.mark.parametrize("flag", ["--print-config", "--print_config"])
def test_printed_configuration_gives_the_same_run(tmp_path, capsys, flag):
    with pytest.raises(SystemExit, match="0"):
        run("a", "--times", 3, "--very-loud", flag)
    (tmp_path / "c.yaml").write_text(capsys.readouterr().out)
    assert run("--config", tmp_path / "c.yaml") == 0
    assert capsys.readouterr().out.strip() == "['a'] 3 glad None (1.0, 2.0) True"


def test_help_is_made_from_docstrings(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Say hello." in text
    for word in ("Persons to greet", "Number of greetings", "--very-loud", "default: glad"):
        assert word in text
    assert "[names ...]" in text


@dataclass(frozen=True, kw_only=True)
class Cake(Command):
    """A cake."""

    layers: int = 2
    """Number of layers."""
    filling: dict[str, Any] = field(default_factory=dict)
    """Filling of each layer."""
    topping: dict[int | str, Any] | None = None
    """Ingredients on top."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers must be ≥ 1, not {self.layers}")

    def run(self) -> int:
        print(self.layers, self.filling, self.topping)
        return 0


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--layers", "3"], "3 {} None"),
        (["--filling", "{a: 1}"], "2 {'a': 1} None"),
        (["--filling.a", "1e-3", "--filling.b.c=[x, 2]"], "2 {'a': 0.001, 'b': {'c': ['x', 2]}} None"),
        (["--topping.nuts", "true"], "2 {} {'nuts': True}"),
        (["--topping.3", "x"], "2 {} {3: 'x'}"),
        (["--filling.a", "{b: c"], "2 {'a': '{b: c'} None"),
    ],
)
def test_mapping_is_set_whole_or_key_by_key(capsys, arguments, printed):
    assert run_command(Cake, "bake", arguments) == 0
    assert capsys.readouterr().out.strip() == printed


def test_flag_changes_one_key_of_a_mapping_in_the_configuration(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("filling: {a: 1, b: {c: 2, d: 3}, e.f: 4}\n")
    assert run_command(Cake, "bake", ["--config", str(config), "--filling.b.c", "5"]) == 0
    assert capsys.readouterr().out.strip() == "2 {'a': 1, 'b': {'c': 5, 'd': 3}, 'e.f': 4} None"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "0"], "layers must be ≥ 1, not 0"),
        (["--layres", "1"], "unknown option '--layres'; did you mean '--layers'?"),
        (["plain"], "unknown option 'plain'; see --help"),
        (["layers=3"], "unknown option 'layers'; did you mean '--layers'?"),
        (["--filling", "3"], "--filling: expected a mapping, not 3"),
    ],
)
def test_invalid_field_gives_one_line(capsys, arguments, message):
    assert run_command(Cake, "bake", arguments) == 2
    assert capsys.readouterr().err == f"res3d bake: error: {message}\n"
