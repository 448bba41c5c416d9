import threading
from pathlib import Path

import pytest

from res3d.cli.errors import Interrupted
from res3d.cli.video_loop import VideoLoop
from res3d.video import VideoError

PATHS = [Path(f"{name}.mp4") for name in "abcd"]


def loop(**settings) -> VideoLoop:
    return VideoLoop(command="extract", smaller="--batch-size", **settings)


def fail_on(errors: dict[str, BaseException]):
    """Return an action that raises the error of some videos, and the list of the videos that it was called with."""
    calls = []

    def action(path: Path) -> None:
        calls.append(path.stem)
        if path.stem in errors:
            raise errors[path.stem]

    return action, calls


@pytest.mark.parametrize("at_once", [1, 3])
def test_failures_are_counted_and_the_loop_continues(capsys, at_once):
    action, calls = fail_on({"b": OSError("disk full"), "c": VideoError("c.mp4: no video")})
    runs = loop(at_once=at_once)
    assert runs.run_and_count(PATHS, action) == 2
    assert sorted(calls) == ["a", "b", "c", "d"]
    assert runs.finished == 2
    captured = capsys.readouterr()
    assert captured.out == "2 of 4 videos done\n"
    assert sorted(captured.err.splitlines()) == ["res3d extract: b.mp4: disk full", "res3d extract: c.mp4: no video"]


def test_one_video_is_not_counted(capsys):
    action, _ = fail_on({})
    assert loop().run_and_count(PATHS[:1], action) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [RuntimeError("out of memory\nmore"), ValueError("out of memory"), MemoryError()])
def test_message_on_memory_has_one_line_and_names_the_flags(capsys, error):
    action, _ = fail_on({"a": error})
    assert loop().run(PATHS[:1], action) == 1
    text = str(error).splitlines()[0] if str(error) else "MemoryError"
    assert capsys.readouterr().err == (f"res3d extract: a.mp4: {text} (if memory is low, use a smaller --batch-size)\n")


@pytest.mark.parametrize(
    ("interrupted", "error", "message"),
    [
        ("a", KeyboardInterrupt(), "no file was finished"),
        ("b", KeyboardInterrupt(), "finished files are kept"),
        ("b", Interrupted("half of b is in x"), "half of b is in x"),
    ],
)
def test_ctrl_c_stops_the_loop_with_the_state_of_the_work(interrupted, error, message):
    action, calls = fail_on({interrupted: error})
    with pytest.raises(KeyboardInterrupt, match=f"^{message}$"):
        loop().run(PATHS, action)
    assert calls[-1] == interrupted


def test_ctrl_c_sets_the_stop_event_of_other_threads():
    runs = loop(at_once=2)
    started = threading.Event()

    def action(path: Path) -> None:
        if path.stem == "a":
            assert started.wait(10)
            raise KeyboardInterrupt
        started.set()
        assert runs.stopping.wait(10)

    with pytest.raises(KeyboardInterrupt):
        runs.run(PATHS[:2], action)
    assert runs.stopping.is_set()


def test_bug_of_an_action_is_not_caught():
    action, _ = fail_on({"a": TypeError("bug")})
    with pytest.raises(TypeError, match="bug"):
        loop().run(PATHS, action)
