import csv
import signal

import pytest

from res3d.training import curves
from res3d.training.curves import Clock, CurveFile, Totals, deferred_interrupt
from res3d.training.loaders import LoadingTime


def rows(path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_rows_are_appended(tmp_path):
    file = CurveFile(tmp_path / "c.csv", after=0)
    file.add({"step": 1, "loss": 0.123456789})
    file.add({"step": 2, "loss": 3.0})
    assert (tmp_path / "c.csv").read_text() == "step,loss\n1,0.123457\n2,3\n"


def test_new_column_is_added_to_all_rows(tmp_path):
    file = CurveFile(tmp_path / "c.csv", after=0)
    file.add({"step": 1, "a": 1.0})
    file.add({"step": 2, "b": 2.0})
    file.add({"step": 3, "a": 3.0})
    assert rows(tmp_path / "c.csv") == [
        {"step": "1", "a": "1", "b": ""},
        {"step": "2", "a": "", "b": "2"},
        {"step": "3", "a": "3", "b": ""},
    ]


def test_resuming_drops_rows_of_later_steps(tmp_path):
    file = CurveFile(tmp_path / "c.csv", after=0)
    for step in range(1, 6):
        file.add({"step": step, "loss": float(step)})
    resumed = CurveFile(tmp_path / "c.csv", after=3)
    assert [row["step"] for row in rows(tmp_path / "c.csv")] == ["1", "2", "3"]
    resumed.add({"step": 4, "loss": 9.0, "more": 1.0})
    assert [row["loss"] for row in rows(tmp_path / "c.csv")] == ["1", "2", "3", "9"]


def test_new_run_drops_all_rows_of_an_earlier_one(tmp_path):
    CurveFile(tmp_path / "c.csv", after=0).add({"step": 4, "loss": 1.0})
    CurveFile(tmp_path / "c.csv", after=0)
    assert rows(tmp_path / "c.csv") == []


def test_ctrl_c_is_deferred_until_the_end_of_the_block():
    handler, written = signal.getsignal(signal.SIGINT), []

    def write() -> None:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            written.append("row")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert written == ["row"]
    assert signal.getsignal(signal.SIGINT) is handler
    with deferred_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is handler


def test_clock_measures_laps_and_the_waiting_time_in_them(monkeypatch):
    seconds = iter([10.0, 12.0, 15.0])
    monkeypatch.setattr(curves.time, "perf_counter", lambda: next(seconds))
    waiting, totals = LoadingTime(4.0), Totals()
    clock = Clock(waiting)
    clock.lap()
    waiting.seconds = 4.5
    totals.add(clock.lap())
    assert totals == Totals(steps=1, seconds=2.0, waited=0.5)
    totals.add(clock.lap())
    assert totals == Totals(steps=2, seconds=5.0, waited=0.5)
