import json
import os
import time
from pathlib import Path

import pytest

from res3d.files import hidden_place, identify
from res3d.results import ResultFolder


def read_metadata(path: Path) -> dict | None:
    try:
        metadata = json.loads(path.read_text())
    except ValueError:
        return None
    return metadata if metadata.get("by") == "us" else None


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "video.mp4").write_text("pictures")
    return tmp_path / "video.mp4"


@pytest.fixture
def folder(tmp_path) -> ResultFolder:
    """Result folder of a command that writes NAME_tracked.mp4 and then NAME.json."""
    result = ResultFolder(path=tmp_path / "out", main=".json", others=("_tracked.mp4",), read_metadata=read_metadata)
    result.make()
    return result


@pytest.fixture
def single(tmp_path) -> ResultFolder:
    """Result folder of a command that writes NAME.json only, without ``files`` and ``path`` in its metadata."""
    result = ResultFolder(path=tmp_path / "out", main=".json", read_metadata=read_metadata, ignored=("weights",))
    result.make()
    return result


def metadata_of(source: Path, **settings: object) -> dict:
    return {"by": "us", "video": identify(source), "stride": 4, **settings}


def write(folder: ResultFolder, source: Path, **settings: object) -> None:
    bookkeeping = folder.bookkeeping(source) if folder.others else {}
    with folder.writing(source):
        for ending in folder.others:
            folder.file(source.stem, ending).write_text("drawn")
        folder.file(source.stem, folder.main).write_text(json.dumps({**metadata_of(source, **settings), **bookkeeping}))


def names(folder: ResultFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_is_finished_depends_on_files_settings_and_input(folder, source):
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


def test_is_finished_ignores_other_keys(single, source):
    write(single, source, weights="a.pth", more=1)
    assert single.is_finished(source, metadata_of(source, weights="b.pth"))


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ({}, {"stride": 8}, "stride was 4, is 8"),
        ({"s": {"a": 1, "b": [1, 2]}}, {"s": {"a": 2, "b": [1, 3]}}, "s.a was 1, is 2, s.b changed"),
        ({"link": "x" * 100}, {"link": "y" * 100}, "link changed"),
        ({"fps": None}, {"fps": 5}, "fps was None, is 5"),
        (
            dict.fromkeys("abcde", 1),
            dict.fromkeys("abcde", 2),
            "a was 1, is 2, b was 1, is 2, c was 1, is 2 and 2 more",
        ),
    ],
)
def test_replacement_names_the_changed_settings(single, source, before, now, line):
    assert single.replacement(source, metadata_of(source)) is None
    write(single, source, **before)
    text = single.replacement(source, metadata_of(source, **{**before, **now}))
    assert text == f"{single.file('video', '.json')} is replaced: {line}"


def test_replacement_reports_a_changed_input(single, source):
    write(single, source)
    source.write_text("other pictures")
    assert single.replacement(source, metadata_of(source)).endswith("is replaced: the video file changed")


def test_check_refuses_files_of_other_programs_and_inputs(folder, source, tmp_path):
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
    with pytest.raises(ValueError, match=r"video\.json is an input and would be overwritten"):
        folder.check([moved], also_read=[folder.path / "video.json"])


def test_overwrite_replaces_everything_except_inputs(folder, source):
    (folder.path / "video.json").write_text('{"by": "me"}')
    overwriting = ResultFolder(
        path=folder.path, main=".json", others=folder.others, read_metadata=read_metadata, overwrite=True
    )
    overwriting.check([source])
    with pytest.raises(ValueError, match="is an input"):
        overwriting.check([source], also_read=[folder.path / "video_tracked.mp4"])
    write(overwriting, source)
    assert not overwriting.is_finished(source, metadata_of(source))
    assert overwriting.replacement(source, metadata_of(source)).endswith("is replaced: --overwrite")


def test_writing_removes_files_of_other_settings_and_partial_files(folder, single, source):
    write(folder, source)
    for partial in folder.partials("video"):
        partial.write_text("half")
    assert names(folder) == ["video.json", "video.partial.json", "video_tracked.mp4", "video_tracked.partial.mp4"]
    with single.writing(source):
        assert "video_tracked.mp4" not in names(folder)
        (single.path / "video.json").write_text("{}")
    assert names(folder) == ["video.json", "video_tracked.partial.mp4"]


def test_single_file_remains_after_an_error(single, source):
    write(single, source)
    with pytest.raises(OSError, match="disk full"), single.writing(source):
        raise OSError("disk full")
    assert names(single) == ["video.json"]


def test_interrupted_work_leaves_no_claim_file(folder, source):
    def work() -> None:
        with folder.writing(source):
            assert ".video.json.claim" in names(folder)
            folder.partials("video")[0].write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert names(folder) == ["video.partial.json"]


def die_while_writing(folder: ResultFolder, source: Path) -> None:
    """Leave the folder in the state after SIGKILL between the two files. The process of the claim does not exist."""
    with folder.writing(source):
        (folder.path / "video_tracked.mp4").write_text("drawn")
        hidden_place(folder.path / "video.json").write_text("half")
        claim = json.loads((folder.path / ".video.json.claim").read_text())
        texts = {path.name: path.read_text() for path in folder.path.iterdir()}
    for name, text in texts.items():
        (folder.path / name).write_text(text)
    (folder.path / ".video.json.claim").write_text(json.dumps({**claim, "pid": 2**22 + 1}))


def test_killed_run_is_resumed_and_its_files_are_removed(folder, source):
    die_while_writing(folder, source)
    assert len(names(folder)) == 3
    folder.check([source])
    assert not folder.is_finished(source, metadata_of(source))
    write(folder, source)
    assert names(folder) == ["video.json", "video_tracked.mp4"]


def test_unfinished_file_of_another_process_is_removed_when_stale(folder, source):
    hidden = hidden_place(folder.path / "video_tracked.mp4", ".unfinished.mp4")
    hidden.write_text("half")
    write(folder, source)
    assert hidden.exists()
    os.utime(hidden, (time.time() - 4000, time.time() - 4000))
    write(folder, source)
    assert not hidden.exists()


def test_make_fails_for_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match="File exists"):
        ResultFolder(path=tmp_path / "taken", main=".json", read_metadata=read_metadata).make()


def test_is_result_recognizes_files_of_the_command(folder, source):
    write(folder, source)
    assert folder.is_result(folder.path / "video_tracked.mp4")
    assert not folder.is_result(folder.path / "other_tracked.mp4")
    assert not folder.is_result(folder.path / "video.mp4")


def test_long_input_names_are_accepted(folder, source):
    long = source.rename(source.with_name("x" * 240 + ".mp4"))
    write(folder, long)
    assert len(names(folder)) == 2
