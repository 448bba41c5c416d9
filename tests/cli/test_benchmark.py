import json

import pytest
import torch
from torch import nn

import res3d
from res3d.cli import main
from res3d.cli.benchmark import measure, networks, peers, report, timing
from res3d.cli.benchmark.extraction import ExtractionResult
from res3d.cli.benchmark.peers import PEERS, Peer
from res3d.video import Preprocessing

VIDEO = "VIDEO"  # placeholder for the path of the video fixture


class Broken(nn.Module):
    """A peer whose forward pass raises an error. Its state dict is that of ``inner``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def state_dict(self, *args, **keywords):
        return self.inner.state_dict(*args, **keywords)

    def forward(self, clip):
        raise RuntimeError("out of luck\nsecond line")


@pytest.fixture
def peer(thin_spec, monkeypatch, tmp_path):
    """Table of peers in which another library has the thin network."""
    table = {str(thin_spec): Peer("torch", lambda: res3d.create_classifier(thin_spec, 400), (4, 32, 32))}
    for module in (measure, networks, peers):
        monkeypatch.setattr(module, "PEERS", table)
    monkeypatch.setattr(timing, "CEILING_SIZE", 128)
    monkeypatch.setattr(measure, "PREPROCESS", Preprocessing(resize=40, crop=(32, 32), mean=(0.4,) * 3, std=(0.2,) * 3))
    monkeypatch.chdir(tmp_path)
    return table


@pytest.mark.slow
def test_benchmark_measures_all_contestants_and_writes_results(peer, video, tmp_path, capsys):
    name = next(iter(peer))
    assert (
        main(["benchmark", name, "--repeats", "1", "--batches", "[1, 2]", "--frames", "[4, 6]", "--video", str(video)])
        == 0
    )
    content = json.loads((tmp_path / "benchmark.json").read_text())
    rows = content["networks"]
    assert {(row["contestant"], row["dtype"]) for row in rows} == {
        ("peer", "float32"),
        ("peer, autocast", "bfloat16"),
        ("res3d", "float32"),
        ("res3d", "bfloat16"),
    }
    assert sorted({tuple(row["clip"]) for row in rows}) == [(1, 3, 4, 32, 32), (1, 3, 6, 32, 32), (2, 3, 4, 32, 32)]
    assert len(rows) == 12, "a size that is requested twice is measured once"
    for row in rows:
        assert row["failure"] is None
        assert row["difference"] < (1e-4 if row["dtype"] == "float32" else 0.1)
        assert row["flops"] == pytest.approx(2 * row["multiply_adds"] / row["seconds"])
    extraction = content["extraction"]
    assert extraction["frames"] == 40
    assert extraction["clips"] == 17
    assert extraction["difference"] < 1e-5
    assert 0.5 < extraction["cosine"] < 1
    text = (tmp_path / "benchmark.md").read_text()
    assert text == text.strip() + "\n"
    assert "| res3d | float32 |" in text
    assert " G multiply-adds on 4×32×32, " in text
    assert "| shared |" in text
    assert (tmp_path / "benchmark.svg").read_text().lstrip().startswith("<?xml")
    assert "wrote benchmark.json, benchmark.md, benchmark.svg" in capsys.readouterr().out


@pytest.mark.slow
def test_threads_seconds_and_dtype_reach_the_measurement(peer, video, tmp_path, one_thread, monkeypatch):
    types = []
    original = measure.measure_extraction
    monkeypatch.setattr(measure, "measure_extraction", lambda *a, **k: types.append(k["dtype"]) or original(*a, **k))
    settings = ["--threads", "2", "--device", "cpu", "--peers", "none", "--repeats", "1", "--out", "small"]
    extraction = ["--video", str(video), "--seconds", "1", "--length", "4", "--stride", "4", "--dtype", "bfloat16"]
    assert main(["benchmark", next(iter(peer)), *settings, *extraction]) == 0
    content = json.loads((tmp_path / "small.json").read_text())
    assert content["machine"]["threads"] == torch.get_num_threads() == 2
    assert types == ["bfloat16"]
    assert content["extraction"]["frames"] == 25
    assert content["extraction"]["clips"] == 7


def test_error_of_a_peer_is_in_its_row(peer, thin_spec):
    inner = res3d.create_classifier(thin_spec, 400)
    peer[str(thin_spec)] = Peer("torch", lambda: Broken(inner), (4, 32, 32))
    rows = networks.compare(
        str(thin_spec), batch=1, frames=4, peers="usual", compile=False, repeats=1, device=torch.device("cpu")
    )
    assert [row.failure for row in rows] == ["RuntimeError: out of luck"] * 2 + [None] * 2
    assert rows[0].flops is None
    table = report.format_networks(rows, {"float32": 1e9, "bfloat16": 1e9})
    assert "| peer | float32 | RuntimeError: out of luck |" in table
    assert table.splitlines()[-1].endswith("|  |")  # no reference, so no difference


def test_error_without_a_message_is_reported_by_its_type(peer, thin_spec, monkeypatch):
    monkeypatch.setattr(Broken, "forward", lambda self, clip: (_ for _ in ()).throw(AssertionError))
    inner = res3d.create_classifier(thin_spec, 400)
    peer[str(thin_spec)] = Peer("torch", lambda: Broken(inner), (4, 32, 32))
    rows = networks.compare(
        str(thin_spec), batch=1, frames=4, peers="usual", compile=False, repeats=1, device=torch.device("cpu")
    )
    assert [row.failure for row in rows] == ["AssertionError"] * 2 + [None] * 2


def test_plot_leaves_out_networks_without_times(tmp_path, monkeypatch):
    failed = networks.Row(
        network="r3d_18", contestant="peer", dtype="float32", clip=(1, 3, 4, 32, 32), parameters=1, multiply_adds=1,
        failure="RuntimeError: out of luck",
    )  # fmt: skip
    report.draw(tmp_path / "a.svg", [failed], report.find_figure())
    assert (tmp_path / "a.svg").exists()


def test_extraction_result_computes_gain_and_formula():
    result = ExtractionResult(
        network="slow_r50",
        frames=100,
        clips=50,
        overlap=4,
        shared=0.5,
        seconds={"clip": 10.0, "shared": 8.0, "video": 4.0},
        network_seconds={"clip": 9.0, "shared": 6.0, "video": 3.0},
        alone={"decode": 1.0, "preprocess": 1.0, "network": 6.0},
        difference=0.0,
        cosine=1.0,
    )
    assert result.formula == pytest.approx(1.6)
    assert result.gain("shared") == pytest.approx(1.5)
    assert result.overlapped == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")  # warnings of PyTorchVideo and fvcore
@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "slow_r50"])
def test_weights_of_real_peers_load_completely(name):
    """Networks of torchvision and of PyTorchVideo."""
    with torch.device("meta"):
        state = PEERS[name].make().state_dict()
    model = res3d.create_classifier(name, 400)
    report = res3d.load_weights(model, {key: torch.zeros(value.shape) for key, value in state.items()})
    assert not report.missing
    assert not report.unexpected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r3d_99"], "no other library has the network 'r3d_99' (accepted: r3d_18, "),
        (["--repeats", "0"], "sizes and repeats must be ≥ 1, not 0"),
        (["--batches", "[]"], "--batches needs at least one size"),
        (["--video", VIDEO, "r3d_18", "--stride", "2"], "conv5 has a position every 8 frames, so the clip stride"),
        (["--video", VIDEO, "slow_r50", "--length", "0"], "length must be"),
        (["slow_r50", "--frames", "[8, 4]"], "pools windows of (8, 7, 7)"),
        (
            ["--video", VIDEO, "c2d_r50", "--length", "1"],
            "c2d_r50 needs clips of (T, H, W) ≥ (2, 1, 1), not (1,",
        ),
        (["--out", "nowhere/b"], "--out nowhere/b: no such folder: 'nowhere'"),
    ],
)
def test_invalid_settings_are_refused_before_measuring(arguments, message, video, capsys, monkeypatch):
    monkeypatch.setattr(measure, "compare", None)
    assert main(["benchmark", *(str(video) if a == VIDEO else a for a in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_error_names_the_missing_library_of_a_peer(peer, capsys):
    name, entry = next(iter(peer.items()))
    peer[name] = entry._replace(library="no_such_library")
    assert main(["benchmark", name]) == 2
    assert "comparison needs no_such_library: pip install no_such_library" in capsys.readouterr().err


def test_best_peers_and_res3d_are_compiled_with_frozen_weights(peer, monkeypatch, capsys):
    """``torch.compile`` is replaced: the test checks which networks are compiled, and with which settings."""
    frozen = []

    def compile(network, **options):
        if "fullgraph" in options:  # the call in ``optimize``
            frozen.append(options["fullgraph"])
            return network

        def run(clip):
            frozen.append(torch._inductor.config.freezing)
            assert clip.is_contiguous(memory_format=torch.channels_last_3d)
            return network(clip)

        return run

    monkeypatch.setattr(torch, "compile", compile)
    name = next(iter(peer))
    rows = networks.compare(name, batch=1, frames=4, peers="best", compile=True, repeats=1, device=torch.device("cpu"))
    kinds = ["peer", "peer, autocast", "peer, compiled", "peer, autocast, compiled"]
    assert [row.contestant for row in rows] == kinds + ["res3d", "res3d, compiled"] * 2
    assert not any(row.failure for row in rows)
    assert all(row.difference < 0.1 for row in rows)
    assert frozen
    assert all(frozen)


def test_without_peers_res3d_in_float32_is_the_reference(peer):
    name = next(iter(peer))
    rows = networks.compare(name, batch=1, frames=4, peers="none", compile=False, repeats=1, device=torch.device("cpu"))
    assert [(row.contestant, row.dtype) for row in rows] == [("res3d", "float32"), ("res3d", "bfloat16")]
    assert rows[0].difference == 0 < rows[1].difference < 0.1


@pytest.mark.slow
def test_missing_video_gives_exit_code_1(capsys):
    assert main(["benchmark", "--video", "nowhere.mp4"]) == 1
    assert "nowhere.mp4: no such file" in capsys.readouterr().err
