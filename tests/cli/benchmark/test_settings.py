import pytest

from res3d.cli.benchmark.peers import PEERS
from res3d.cli.benchmark.settings import NETWORKS, BenchmarkSettings
from res3d.cli.errors import UsageError
from res3d.settings import settings_of


def test_default_networks_have_peers():
    assert BenchmarkSettings().names == list(NETWORKS)
    assert set(NETWORKS) <= set(PEERS)


def test_names_are_unique_and_in_order():
    assert BenchmarkSettings(networks=["slow_r50", "r3d_18", "slow_r50"]).names == ["slow_r50", "r3d_18"]


def test_help_text_lists_all_networks_with_peers():
    doc = next(setting.doc for setting in settings_of(BenchmarkSettings) if setting.name == "networks")
    assert all(name in doc for name in PEERS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batches": []}, "--batches needs at least one size"),
        ({"batches": [1, 0]}, "sizes and repeats must be ≥ 1, not 0"),
        ({"frames": [8, -1]}, "sizes and repeats must be ≥ 1, not -1"),
        ({"repeats": 0}, "sizes and repeats must be ≥ 1, not 0"),
        ({"out": "nowhere/b"}, "--out nowhere/b: no such folder: 'nowhere'"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    BenchmarkSettings().check()
    with pytest.raises(UsageError, match=message):
        BenchmarkSettings(**settings).check()
