import re
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from res3d.cli.command import UsageError, run_command


def greet(
    names: list[str],
    *,
    times: int = 1,
    mood: Literal["glad", "sad"] = "glad",
    pause: float | None = None,
    tones: tuple[float, float] = (1.0, 2.0),
    very_loud: bool = False,
) -> int:
    """Say hello.

    Args:
        names: whom to greet
        times: how often
        mood: in what mood
        pause: seconds
        tones: two pitches
        very_loud: shout
    """
    if times == 13:
        raise UsageError("--times must not be 13")
    if times == 99:
        raise KeyboardInterrupt
    print(names, times, mood, pause, tones, very_loud)
    return 0 if names else 1


def run(*arguments: object) -> int:
    return run_command(greet, "greet", [str(a) for a in arguments])


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
def test_the_signature_is_the_command_line(capsys, arguments, printed):
    assert run(*arguments) == 0
    assert capsys.readouterr().out.strip() == printed


def test_what_the_function_returns_is_the_exit_code(capsys):
    assert run() == 1
    assert capsys.readouterr().out.startswith("[] 1")


def test_a_config_file_sets_anything_and_flags_override_it(tmp_path, capsys):
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
        (["--times", "x"], "--times must be int, not 'x'"),
        (["--mood", "mad"], "--mood must be one of 'glad', 'sad', not 'mad'"),
        (["--pause", "long"], "--pause must be float, not 'long'"),
        (["--tones", "1"], "--tones must be a list like [float, float], not '1'"),
        (["--times", "13"], "--times must not be 13"),
        (["--times"], "argument --times: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(capsys, arguments, message):
    assert run("a", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"res3d greet: error: {message}\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tmes: 3", "unknown option 'tmes'; did you mean 'times'?"),
        ("times: x", "--times must be int, not 'x'"),
        ("names: [x", ""),
    ],
)
def test_a_wrong_config_is_one_line_and_exit_code_2(tmp_path, capsys, text, message):
    config = tmp_path / "c.yaml"
    config.write_text(text)
    assert run("--config", config) == 2
    error = capsys.readouterr().err
    assert message in error
    assert re.fullmatch(r"res3d greet: error: [^\n]+\n", error)


def test_a_config_that_is_not_there_is_named(capsys):
    assert run("--config", "nowhere.yaml") == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_ctrl_c_is_exit_code_130(capsys):
    assert run("--times", "99") == 130
    assert "interrupted" in capsys.readouterr().err


def test_help_comes_from_the_docstring(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Say hello." in text
    for word in ("whom to greet", "how often", "--very-loud", "default: glad"):
        assert word in text
    assert "[names ...]" in text


@dataclass(frozen=True, kw_only=True)
class Cake:
    """A cake.

    Args:
        layers: how many
        filling: what is in it, by layer
        topping: what is on it
    """

    layers: int = 2
    filling: dict[str, Any] = field(default_factory=dict)
    topping: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers must be ≥ 1, not {self.layers}")


def bake(cake: Cake) -> int:
    """Bake it."""
    print(cake.layers, cake.filling, cake.topping)
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
def test_a_dataclass_is_the_command_line_of_a_function_that_takes_one(capsys, arguments, printed):
    assert run_command(bake, "bake", arguments) == 0
    assert capsys.readouterr().out.strip() == printed


def test_flags_change_mappings_of_the_config_key_by_key(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("filling: {a: 1, b: {c: 2, d: 3}, e.f: 4}\n")
    assert run_command(bake, "bake", ["--config", str(config), "--filling.b.c", "5"]) == 0
    assert capsys.readouterr().out.strip() == "2 {'a': 1, 'b': {'c': 5, 'd': 3}, 'e.f': 4} None"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "0"], "layers must be ≥ 1, not 0"),
        (["--layres", "1"], "unknown option '--layres'; did you mean '--layers'?"),
        (["plain"], "unknown option 'plain'; see --help"),
        (["layers=3"], "unknown option 'layers'; did you mean '--layers'?"),
        (["--filling", "3"], "--filling must be dict, not '3'"),
    ],
)
def test_wrong_fields_end_with_one_line(capsys, arguments, message):
    assert run_command(bake, "bake", arguments) == 2
    assert capsys.readouterr().err == f"res3d bake: error: {message}\n"
