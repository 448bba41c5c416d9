import os
import threading
from pathlib import Path

import pytest

from res3d.files import unfinished, write_whole


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "a.txt"
    with unfinished(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_error_leaves_the_previous_file(tmp_path, error):
    path = tmp_path / "a.txt"
    write_whole(path, "before\r\n")

    def fail():
        with unfinished(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"before\r\n", "line ends are not converted"
    assert list(tmp_path.iterdir()) == [path]


def test_symbolic_link_is_not_replaced(tmp_path):
    (tmp_path / "real.txt").write_text("before")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_whole(tmp_path / "link.txt", "after")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "after"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_named_pipe_is_written_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    write_whole(tmp_path / "pipe", "through")
    reader.join(10)
    assert texts == ["through"]
    assert (tmp_path / "pipe").is_fifo()


def test_long_file_names_are_accepted(tmp_path):
    for name in ("n" * 250 + ".json", "ü" * 120 + ".json"):
        write_whole(tmp_path / name, "all of it")
        assert (tmp_path / name).read_text() == "all of it"


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder"):
        write_whole(tmp_path / "nowhere" / "a.txt", "text")
    assert Path(tmp_path / "nowhere").exists() is False
