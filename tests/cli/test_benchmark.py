import json

import pytest
import torch
from torch import nn

import res3d
from res3d.cli import main
from res3d.cli.benchmark import measure, networks, peers, report
from res3d.cli.benchmark.extraction import ExtractionResult
from res3d.cli.benchmark.peers import PEERS, Peer
from res3d.video import Preprocessing

VIDEO = "VIDEO"  # stands for the path of one


class Broken(nn.Module):
    """A peer whose forward pass raises; its weights fit."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def state_dict(self, *args, **keywords):
        return self.inner.state_dict(*args, **keywords)

    def forward(self, clip):
        raise RuntimeError("out of luck\nsecond line")


@pytest.fixture
def peer(thin_spec, monkeypatch, tmp_path):
    """The thin network, as if another library had it."""
    made = {str(thin_spec): Peer("torch", lambda: res3d.create_classifier(thin_spec, 400), (4, 32, 32))}
    for module in (measure, networks, peers):
        monkeypatch.setattr(module, "PEERS", made)
    monkeypatch.setattr(measure, "PREPROCESS", Preprocessing(resize=40, crop=(32, 32), mean=(0.4,) * 3, std=(0.2,) * 3))
    monkeypatch.chdir(tmp_path)
    return made


def test_contestants_agree_and_results_are_written(peer, video, tmp_path, capsys):
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
    assert len(rows) == 12, "a size that is asked for twice is measured once"
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


def test_threads_seconds_and_type_are_those_asked_for(peer, video, tmp_path, one_thread, monkeypatch):
    types = []
    measured = measure.measure_extraction
    monkeypatch.setattr(measure, "measure_extraction", lambda *a, **k: types.append(k["dtype"]) or measured(*a, **k))
    settings = ["--threads", "2", "--device", "cpu", "--peers", "none", "--repeats", "1", "--out", "small"]
    extraction = ["--video", str(video), "--seconds", "1", "--length", "4", "--stride", "4", "--dtype", "bfloat16"]
    assert main(["benchmark", next(iter(peer)), *settings, *extraction]) == 0
    content = json.loads((tmp_path / "small.json").read_text())
    assert content["machine"]["threads"] == torch.get_num_threads() == 2
    assert types == ["bfloat16"]
    assert content["extraction"]["frames"] == 25
    assert content["extraction"]["clips"] == 7


def test_a_peer_that_fails_is_a_row_that_says_so(peer, thin_spec):
    inner = res3d.create_classifier(thin_spec, 400)
    peer[str(thin_spec)] = Peer("torch", lambda: Broken(inner), (4, 32, 32))
    rows = networks.compare(
        str(thin_spec), batch=1, frames=4, peers="usual", compile=False, repeats=1, device=torch.device("cpu")
    )
    assert [row.failure for row in rows] == ["RuntimeError: out of luck"] * 2 + [None] * 2
    assert rows[0].flops is None
    table = report.format_networks(rows, {"float32": 1e9, "bfloat16": 1e9})
    assert "| peer | float32 | RuntimeError: out of luck |" in table
    assert table.splitlines()[-1].endswith("|  |")  # nothing to differ from


def test_an_error_without_a_message_is_named_too(peer, thin_spec, monkeypatch):
    monkeypatch.setattr(Broken, "forward", lambda self, clip: (_ for _ in ()).throw(AssertionError))
    inner = res3d.create_classifier(thin_spec, 400)
    peer[str(thin_spec)] = Peer("torch", lambda: Broken(inner), (4, 32, 32))
    rows = networks.compare(
        str(thin_spec), batch=1, frames=4, peers="usual", compile=False, repeats=1, device=torch.device("cpu")
    )
    assert [row.failure for row in rows] == ["AssertionError"] * 2 + [None] * 2


def test_networks_of_which_no_contestant_ran_have_no_curve(tmp_path, monkeypatch):
    failed = networks.Row(
        network="r3d_18", contestant="peer", dtype="float32", clip=(1, 3, 4, 32, 32), parameters=1, multiply_adds=1,
        failure="RuntimeError: out of luck",
    )  # fmt: skip
    report.draw(tmp_path / "a.svg", [failed], report.find_figure())
    assert (tmp_path / "a.svg").exists()


def test_the_gain_that_arithmetic_promises():
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


@pytest.mark.filterwarnings("ignore")  # PyTorchVideo's and fvcore's own
@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "slow_r50"])
def test_real_peers_take_our_weights(name):
    """Both ways of loading: torchvision's network, and PyTorchVideo's."""
    with torch.device("meta"):
        state = PEERS[name].make().state_dict()
    ours = res3d.create_classifier(name, 400)
    report = res3d.load_weights(ours, {key: torch.zeros(value.shape) for key, value in state.items()})
    assert not report.missing
    assert not report.unexpected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r3d_99"], "no peer is known for 'r3d_99' (accepted: r3d_18, "),
        (["--repeats", "0"], "sizes and repeats must be ≥ 1, not 0"),
        (["--batches", "[]"], "--batches needs at least one size"),
        (["--video", VIDEO, "r3d_18", "--stride", "2"], "conv5 has a position every 8 frames, so clips must start"),
        (["--video", VIDEO, "slow_r50", "--length", "0"], "length must be"),
        (["slow_r50", "--frames", "[8, 4]"], "pools windows of (8, 7, 7)"),
        (
            ["--video", VIDEO, "c2d_r50", "--length", "1"],
            "c2d_r50 needs clips of (T, H, W) ≥ (2, 1, 1), not (1,",
        ),
        (["--out", "nowhere/b"], "--out nowhere/b: no folder 'nowhere'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_measured(arguments, message, video, capsys, monkeypatch):
    monkeypatch.setattr(measure, "compare", None)
    assert main(["benchmark", *(str(video) if a == VIDEO else a for a in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_library_is_named(peer, capsys):
    name, made = next(iter(peer.items()))
    peer[name] = made._replace(library="no_such_library")
    assert main(["benchmark", name]) == 2
    assert "its peer needs no_such_library: pip install no_such_library" in capsys.readouterr().err


def test_peers_at_their_best_and_ours_are_compiled_with_frozen_weights(peer, monkeypatch, capsys):
    """Compiling itself is tested elsewhere; here it is what would be compiled, and how."""
    frozen = []

    def compile(network, **options):
        if "fullgraph" in options:  # ours
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


def test_without_peers_ours_are_compared_with_each_other(peer):
    name = next(iter(peer))
    rows = networks.compare(name, batch=1, frames=4, peers="none", compile=False, repeats=1, device=torch.device("cpu"))
    assert [(row.contestant, row.dtype) for row in rows] == [("res3d", "float32"), ("res3d", "bfloat16")]
    assert rows[0].difference == 0 < rows[1].difference < 0.1


def test_a_missing_video_is_exit_code_1(capsys):
    assert main(["benchmark", "--video", "nowhere.mp4"]) == 1
    assert "nowhere.mp4: no such file" in capsys.readouterr().err
