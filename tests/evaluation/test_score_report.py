import json

from res3d.evaluation import KindReport, Report, Switch

SCORES = {"HOTA": 0.5, "MOTA": -0.25, "switches": 3, "AP": float("nan")}


def report(videos: int = 1, switches: int = 0, joints: dict[str, float] | None = None) -> Report:
    kind = KindReport(
        videos={f"video {n}": SCORES for n in range(videos)},
        classes={"fly": SCORES},
        total=SCORES,
        joints=joints or {},
        switches=[("video 0", "fly", Switch(frame=n, id=7, before=1, after=2)) for n in range(switches)],
    )
    return Report(kinds={"box": kind}, notes=("a note",))


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_table_has_percentages_counts_and_dashes():
    assert cells(report().table()) == [
        ["box", "HOTA", "MOTA", "switches", "AP"],
        ["total", "50.00", "-25.00", "3", "-"],
        [],
        ["a", "note"],
    ]


def test_table_has_a_row_per_video_if_there_are_several():
    rows = cells(report(videos=2).table())
    assert [row[:2] for row in rows[1:4]] == [["video", "0"], ["video", "1"], ["total", "50.00"]]


def test_table_lists_the_first_switches_and_the_number_of_others():
    lines = report(switches=3).table(most_switches=2).splitlines()
    assert lines[3:6] == [
        "switch in video 0, frame 0: fly 7 was 1, is 2",
        "switch in video 0, frame 1: fly 7 was 1, is 2",
        "... and 1 more switches",
    ]


def test_table_has_a_line_of_keypoints_per_class():
    joints = {"fly: head": 1.0, "fly: tail": 0.5, "bee: head": float("nan")}
    lines = report(joints=joints).table().splitlines()
    assert lines[3:5] == ["PCK@0.2 fly: head 100.00, tail 50.00", "PCK@0.2 bee: head -"]


def test_json_has_null_for_undefined_scores(tmp_path):
    report(switches=1).to_json(tmp_path / "scores.json")
    data = json.loads((tmp_path / "scores.json").read_text())
    scores = {"HOTA": 0.5, "MOTA": -0.25, "switches": 3, "AP": None}
    assert data == {
        "notes": ["a note"],
        "box": {
            "total": scores,
            "classes": {"fly": scores},
            "videos": {"video 0": scores},
            "joints": {},
            "switches": [{"video": "video 0", "class": "fly", "frame": 0, "id": 7, "before": 1, "after": 2}],
        },
    }
