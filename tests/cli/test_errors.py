import pytest

from res3d.cli.errors import FAILED, INTERRUPTED, USAGE_ERROR, Interrupted, UsageError, report_error


def test_report_error_prints_one_line_on_stderr(capsys):
    assert report_error("extract", "a.mp4: no such file") == FAILED
    captured = capsys.readouterr()
    assert captured.err == "res3d extract: a.mp4: no such file\n"
    assert captured.out == ""


def test_exit_codes_are_those_of_the_documentation():
    assert (FAILED, USAGE_ERROR, INTERRUPTED) == (1, 2, 130)


def test_errors_are_caught_as_their_base_classes():
    with pytest.raises(ValueError, match="wrong"):
        raise UsageError("wrong")
    with pytest.raises(KeyboardInterrupt):
        raise Interrupted("half a file")
