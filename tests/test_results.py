import json
import os
import time
from pathlib import Path

import pytest

from res3d.files import hidden_place, identify
from res3d.results import ResultFolder


def read_metadata(path: Path) -> dict | None:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    return found if found.get("by") == "us" else None


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "video.mp4").write_text("pictures")
    return tmp_path / "video.mp4"


@pytest.fixture
def folder(tmp_path) -> ResultFolder:
    """Of a command that writes NAME.json, last, and NAME_tracked.mp4."""
    made = ResultFolder(path=tmp_path / "out", main=".json", others=("_tracked.mp4",), read_metadata=read_metadata)
    made.make()
    return made


@pytest.fixture
def single(tmp_path) -> ResultFolder:
    """Of a command that writes NAME.json alone, whose metadata says neither files nor path."""
    made = ResultFolder(path=tmp_path / "out", main=".json", read_metadata=read_metadata, ignored=("weights",))
    made.make()
    return made


def metadata_of(source: Path, **settings: object) -> dict:
    return {"by": "us", "video": identify(source), "stride": 4, **settings}


def write(folder: ResultFolder, source: Path, **settings: object) -> None:
    own = folder.bookkeeping(source) if folder.others else {}
    with folder.writing(source):
        for ending in folder.others:
            folder.file(source.stem, ending).write_text("drawn")
        folder.file(source.stem, folder.main).write_text(json.dumps({**metadata_of(source, **settings), **own}))


def names(folder: ResultFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_what_is_finished_with_which_settings_is_known(folder, source):
    assert not folder.is_finished(source, metadata_of(source))
    write(folder, source)
    assert names(folder) == ["video.json", "video_tracked.mp4"]
    assert folder.is_finished(source, metadata_of(source, version="later"))
    assert not folder.is_finished(source, metadata_of(source, stride=5))
    folder.file("video", "_tracked.mp4").unlink()
    assert not folder.is_finished(source, metadata_of(source))
    write(folder, source)
    source.write_text("other pictures")
    assert not folder.is_finished(source, metadata_of(source))


def test_keys_that_do_not_decide_and_what_was_not_asked_for_do_not_matter(single, source):
    write(single, source, weights="a.pth", more=1)
    assert single.is_finished(source, metadata_of(source, weights="b.pth"))


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ({}, {"stride": 8}, "stride was 4, is 8"),
        ({"s": {"a": 1, "b": [1, 2]}}, {"s": {"a": 2, "b": [1, 3]}}, "s.a was 1, is 2, another s.b"),
        ({"link": "x" * 100}, {"link": "y" * 100}, "another link"),
        ({"fps": None}, {"fps": 5}, "fps was None, is 5"),
        (
            dict.fromkeys("abcde", 1),
            dict.fromkeys("abcde", 2),
            "a was 1, is 2, b was 1, is 2, c was 1, is 2 and 2 more",
        ),
    ],
)
def test_what_is_replaced_is_said_with_what_differs(single, source, before, now, line):
    assert single.replacement(source, metadata_of(source)) is None
    write(single, source, **before)
    said = single.replacement(source, metadata_of(source, **{**before, **now}))
    assert said == f"{single.file('video', '.json')} is replaced: {line}"


def test_a_file_of_another_input_is_replaced_with_a_word(single, source):
    write(single, source)
    source.write_text("other pictures")
    assert single.replacement(source, metadata_of(source)).endswith("is replaced: made from another file")


def test_what_the_command_did_not_make_and_what_is_read_is_not_written_over(folder, source, tmp_path):
    folder.check([source])
    for name in ("video.json", "video_tracked.mp4"):
        (folder.path / name).write_text('"mine"' if name.endswith("mp4") else '{"by": "me"}')
        with pytest.raises(ValueError, match=rf"{name} exists and was not made from video\.mp4 here"):
            folder.check([source])
        (folder.path / name).unlink()
    write(folder, source)
    folder.check([source])
    other = tmp_path / "other" / "video.mp4"
    other.parent.mkdir()
    other.write_text("another video")
    with pytest.raises(ValueError, match="was not made from"):
        folder.check([other])
    moved = source.rename(tmp_path / "other" / "video.mp4")
    folder.check([moved])
    with pytest.raises(ValueError, match=r"video\.json would be written, and is read"):
        folder.check([moved], also_read=[folder.path / "video.json"])


def test_overwrite_replaces_all_but_inputs(folder, source):
    (folder.path / "video.json").write_text('{"by": "me"}')
    every = ResultFolder(
        path=folder.path, main=".json", others=folder.others, read_metadata=read_metadata, overwrite=True
    )
    every.check([source])
    with pytest.raises(ValueError, match="is read"):
        every.check([source], also_read=[folder.path / "video_tracked.mp4"])
    write(every, source)
    assert not every.is_finished(source, metadata_of(source))
    assert every.replacement(source, metadata_of(source)).endswith("is replaced: --overwrite")


def test_files_of_other_settings_and_partial_ones_do_not_stay(folder, single, source):
    write(folder, source)
    for partial in folder.partials("video"):
        partial.write_text("half")
    assert names(folder) == ["video.json", "video.partial.json", "video_tracked.mp4", "video_tracked.partial.mp4"]
    with single.writing(source):
        assert "video_tracked.mp4" not in names(folder)
        (single.path / "video.json").write_text("{}")
    assert names(folder) == ["video.json", "video_tracked.partial.mp4"]


def test_a_single_file_stays_until_it_is_replaced(single, source):
    write(single, source)
    with pytest.raises(OSError, match="disk full"), single.writing(source):
        raise OSError("disk full")
    assert names(single) == ["video.json"]


def test_interrupted_work_leaves_no_claim(folder, source):
    def work() -> None:
        with folder.writing(source):
            assert ".video.json.claim" in names(folder)
            folder.partials("video")[0].write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert names(folder) == ["video.partial.json"]


def die_while_writing(folder: ResultFolder, source: Path) -> None:
    """As after SIGKILL between the two files; that process is gone."""
    with folder.writing(source):
        (folder.path / "video_tracked.mp4").write_text("drawn")
        hidden_place(folder.path / "video.json").write_text("half")
        claim = json.loads((folder.path / ".video.json.claim").read_text())
        kept = {path.name: path.read_text() for path in folder.path.iterdir()}
    for name, text in kept.items():
        (folder.path / name).write_text(text)
    (folder.path / ".video.json.claim").write_text(json.dumps({**claim, "pid": 2**22 + 1}))


def test_a_run_that_was_killed_between_its_files_goes_on_and_leaves_nothing(folder, source):
    die_while_writing(folder, source)
    assert len(names(folder)) == 3
    folder.check([source])
    assert not folder.is_finished(source, metadata_of(source))
    write(folder, source)
    assert names(folder) == ["video.json", "video_tracked.mp4"]


def test_what_a_running_process_writes_is_left_alone_until_it_is_old(folder, source):
    hidden = hidden_place(folder.path / "video_tracked.mp4", ".unfinished.mp4")
    hidden.write_text("half")
    write(folder, source)
    assert hidden.exists()
    os.utime(hidden, (time.time() - 4000, time.time() - 4000))
    write(folder, source)
    assert not hidden.exists()


def test_a_folder_that_cannot_be_written_is_known_at_once(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match="File exists"):
        ResultFolder(path=tmp_path / "taken", main=".json", read_metadata=read_metadata).make()


def test_drawn_videos_are_told_from_others(folder, source):
    write(folder, source)
    assert folder.made(folder.path / "video_tracked.mp4")
    assert not folder.made(folder.path / "other_tracked.mp4")
    assert not folder.made(folder.path / "video.mp4")


def test_names_of_any_length_are_taken(folder, source):
    long = source.rename(source.with_name("x" * 240 + ".mp4"))
    write(folder, long)
    assert len(names(folder)) == 2
