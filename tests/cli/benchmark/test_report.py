import json

import pytest
import torch

from res3d.cli.benchmark.networks import USUAL, USUAL_BFLOAT16, Row
from res3d.cli.benchmark.report import describe_machine, format_costs, format_networks, write_json

CEILINGS = {"float32": 1e11, "bfloat16": 2e11}


def row(contestant: str, dtype: str, seconds: float | None, **fields) -> Row:
    shared = {"network": "r3d_18", "clip": (2, 3, 4, 32, 32), "parameters": 33_000_000, "multiply_adds": 10**9}
    return Row(contestant=contestant, dtype=dtype, seconds=seconds, **{**shared, **fields})


ROWS = [
    row(USUAL, "float32", 0.1, difference=0.0, bytes=2**21),
    row(USUAL_BFLOAT16, "bfloat16", 0.05),
    row("res3d", "float32", 0.04),
    row("res3d", "bfloat16", None, failure="RuntimeError: no"),
]


def test_ratios_are_relative_to_the_peer_of_the_same_number_type():
    cells = [line.split(" | ") for line in format_networks(ROWS, CEILINGS).splitlines()[2:]]
    assert [line[4:6] for line in cells[:3]] == [["100.0", "1.00"], ["50.0", "1.00"], ["40.0", "2.50"]]
    assert cells[3][4] == "RuntimeError: no"


def test_speed_memory_and_difference_are_in_the_table():
    lines = format_networks(ROWS, CEILINGS).splitlines()
    assert "| 20 | 20 % | 2 | 0.0e+00 |" in lines[2], "2 x 1e9 multiply-adds in 0.1 s are 20 GFLOP/s of 100"


def test_costs_are_those_of_one_clip():
    assert format_costs(ROWS) == "- r3d_18: 33.0 M parameters; 0.5 G multiply-adds on 4×32×32"


def test_json_has_all_rows(tmp_path):
    write_json(tmp_path / "b.json", {"threads": 2}, CEILINGS, ROWS, None)
    content = json.loads((tmp_path / "b.json").read_text())
    assert [entry["flops"] for entry in content["networks"]] == pytest.approx([2e10, 4e10, 5e10, None])
    assert content["ceilings_flops"] == CEILINGS
    assert content["extraction"] is None


def test_machine_has_threads_and_versions():
    machine = describe_machine(torch.device("cpu"))
    assert machine["threads"] == torch.get_num_threads()
    assert machine["torch"] == torch.__version__
