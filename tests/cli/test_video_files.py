import re

import pytest

from res3d.cli.errors import UsageError
from res3d.cli.video_files import expand_videos


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.AVI", "notes.txt", "deep/c.mkv", "deep/er/d.mp4", "none/x.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.mp4"], ["a.mp4"]),
        (["notes.txt"], ["notes.txt"]),
        (["missing.mp4", "a.mp4"], ["missing.mp4", "a.mp4"]),
        (["."], ["a.mp4", "b.AVI", "deep/c.mkv", "deep/er/d.mp4"]),
        (["deep"], ["deep/c.mkv", "deep/er/d.mp4"]),
        (["*.mp4"], ["a.mp4"]),
        (["**/*.mp4"], ["a.mp4", "deep/er/d.mp4"]),
        (["deep/[cd].mkv"], ["deep/c.mkv"]),
        (["a.mp4", "./a.mp4", "*.mp4"], ["a.mp4"]),
    ],
)
def test_expand_videos_accepts_files_folders_and_globs(tree, arguments, expected):
    assert [path.as_posix() for path in expand_videos(arguments)] == expected


def test_existing_file_with_brackets_is_not_a_glob(tree):
    (tree / "what[1].mp4").touch()
    assert [str(p) for p in expand_videos(["what[1].mp4"])] == ["what[1].mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "the name of a video must not be empty"),
        (["none"], "folder 'none' contains no video (.3gp, .asf"),
        (["*.mov"], "no file matches '*.mov'"),
        (["a.mp4", "*.mov"], "no file matches '*.mov'"),
        (
            ["a.mp4", "deep/a.avi"],
            "a.mp4 and deep/a.avi have the same name, so their results would too; use a different --out for each",
        ),
    ],
)
def test_expand_videos_refuses_empty_results_and_equal_stems(tree, arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        expand_videos(arguments)
