import csv
import signal

import pytest

from res3d.training.curves import CurveFile, deferred_interrupt


def rows(path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_rows_are_written_as_they_come(tmp_path):
    file = CurveFile(tmp_path / "c.csv", after=0)
    file.add({"step": 1, "loss": 0.123456789})
    file.add({"step": 2, "loss": 3.0})
    assert (tmp_path / "c.csv").read_text() == "step,loss\n1,0.123457\n2,3\n"


def test_a_new_column_is_added_to_all_rows(tmp_path):
    file = CurveFile(tmp_path / "c.csv", after=0)
    file.add({"step": 1, "a": 1.0})
    file.add({"step": 2, "b": 2.0})
    file.add({"step": 3, "a": 3.0})
    assert rows(tmp_path / "c.csv") == [
        {"step": "1", "a": "1", "b": ""},
        {"step": "2", "a": "", "b": "2"},
        {"step": "3", "a": "3", "b": ""},
    ]


def test_rows_after_the_step_that_a_run_goes_on_from_are_dropped(tmp_path):
    file = CurveFile(tmp_path / "c.csv", after=0)
    for step in range(1, 6):
        file.add({"step": step, "loss": float(step)})
    again = CurveFile(tmp_path / "c.csv", after=3)
    assert [row["step"] for row in rows(tmp_path / "c.csv")] == ["1", "2", "3"]
    again.add({"step": 4, "loss": 9.0, "more": 1.0})
    assert [row["loss"] for row in rows(tmp_path / "c.csv")] == ["1", "2", "3", "9"]


def test_a_fresh_run_drops_what_an_old_one_left(tmp_path):
    CurveFile(tmp_path / "c.csv", after=0).add({"step": 4, "loss": 1.0})
    CurveFile(tmp_path / "c.csv", after=0)
    assert rows(tmp_path / "c.csv") == []


def test_ctrl_c_waits_until_a_row_is_written():
    before, written = signal.getsignal(signal.SIGINT), []

    def write() -> None:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            written.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert written == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is before
    with deferred_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is before
