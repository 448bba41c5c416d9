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
def test_files_folders_and_globs_are_expanded(tree, arguments, expected):
    assert [path.as_posix() for path in expand_videos(arguments)] == expected


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tree):
    (tree / "what[1].mp4").touch()
    assert [str(p) for p in expand_videos(["what[1].mp4"])] == ["what[1].mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "an empty name is no video"),
        (["none"], "folder 'none' holds no video (.3gp, .asf"),
        (["*.mov"], "no file matches '*.mov'"),
        (["a.mp4", "*.mov"], "no file matches '*.mov'"),
        (
            ["a.mp4", "deep/a.avi"],
            "a.mp4 and deep/a.avi have one name, and so would their results; run them into two folders",
        ),
    ],
)
def test_what_means_no_video_or_one_result_for_two_is_refused(tree, arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        expand_videos(arguments)
