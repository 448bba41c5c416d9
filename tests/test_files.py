import pytest

from res3d.files import unfinished, write_whole


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with unfinished(path) as place:
        place.write_text("half")
        assert not path.exists()
        place.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_file_before_it(tmp_path, error):
    path = tmp_path / "a.txt"
    write_whole(path, "before\r\n")

    def fail():
        with unfinished(path) as place:
            place.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"before\r\n", "and line ends as they were given"
    assert list(tmp_path.iterdir()) == [path]
