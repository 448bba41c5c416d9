import pytest

import res3d
from res3d.backbone import find_spec
from res3d.cli.benchmark.peers import PEERS, check_peers
from res3d.cli.errors import UsageError


@pytest.mark.parametrize("name", PEERS)
def test_peer_is_a_backbone_that_accepts_its_published_clip(name):
    assert name in res3d.list_backbones()
    find_spec(name).check_size(PEERS[name].clip)


def test_check_peers_names_the_missing_library(monkeypatch):
    check_peers(["r3d_18"])
    monkeypatch.setitem(PEERS, "r3d_18", PEERS["r3d_18"]._replace(library="no_such_library"))
    with pytest.raises(UsageError, match="r3d_18: comparison needs no_such_library: pip install no_such_library"):
        check_peers(["mc3_18", "r3d_18"])
