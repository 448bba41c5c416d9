import json
import re

import numpy as np
import pytest

from res3d.structures.formats.files import get_entries, invalid_content_errors, read_json, read_text


def test_read_text_decodes_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes("größe".encode())
    assert read_text(tmp_path / "a.txt") == "größe"


def test_read_text_refuses_missing_files_folders_and_binary_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.txt: no such file"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"cannot be read \("):
        read_text(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.txt: not a UTF-8 text file"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ("[1]", "must be a JSON object with images and annotations, not a list"),
        ("null", "must be a JSON object with images and annotations, not a NoneType"),
    ],
    ids=["incomplete", "deep", "list", "null"],
)
def test_read_json_refuses_other_content(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json: {message}"):
        read_json(tmp_path / "a.json")


def test_read_json_returns_the_object(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": [1, None]}))
    assert read_json(tmp_path / "a.json") == {"a": [1, None]}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad number"), "a.json: invalid list (bad number)"),
        (ValueError("a.json: already named"), "a.json: already named"),
        (KeyError("id"), "a.json: invalid list (KeyError: 'id')"),
        (TypeError("int"), "a.json: invalid list (TypeError: int)"),
        (OverflowError("large"), "a.json: invalid list (OverflowError: large)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_of_invalid_content_name_the_file(error, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"), invalid_content_errors("a.json", "list"):
        raise error


def test_other_errors_are_not_changed():
    with pytest.raises(ZeroDivisionError), invalid_content_errors("a.json", "list"):
        raise ZeroDivisionError


def test_overflow_to_infinity_gives_no_warning():
    with invalid_content_errors("a.json", "list"):
        assert np.isinf(np.array(1e99).astype(np.float32))


def test_get_entries_returns_the_list():
    data = {"images": [{"id": 1, "name": "a"}, {"id": 2}]}
    assert get_entries(data, "images", "a.json", ("id",)) == data["images"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([{"id": 1, "name": "a"}, {"size": 2}], "entry 1 of 'images' has no 'id', 'name'"),
        ([{"id": 1, "name": "a"}, 3], "entry 1 of 'images' is not a JSON object"),
        (None, "the list 'images' is missing"),
        ({"id": 1}, "the list 'images' is missing"),
    ],
)
def test_get_entries_refuses_invalid_lists(images, message):
    with pytest.raises(ValueError, match=re.escape(f"a.json: {message}")):
        get_entries({"images": images}, "images", "a.json", ("id", "name"))
