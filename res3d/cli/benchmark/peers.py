"""Networks of other libraries that compute the same functions as res3d's."""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from torch import nn

from res3d.cli.errors import UsageError


class Peer(NamedTuple):
    """A network of another library."""

    library: str
    """Package that has the network, as ``pip install`` names it."""
    make: Callable[[], nn.Module]
    """Builds the network with random weights."""
    clip: tuple[int, int, int]
    """(frames, height, width) of the clips that the network was published with."""


def _torchvision(name: str) -> nn.Module:
    network: nn.Module = getattr(import_module("torchvision.models.video"), name)()
    return network


def _pytorchvideo(name: str) -> nn.Module:
    network: nn.Module = getattr(import_module("pytorchvideo.models.hub"), name)(pretrained=False)
    return network


# keys: names of res3d's backbones
PEERS = {
    **{
        name: Peer("torchvision", lambda name=name: _torchvision(name), (16, 112, 112))  # type: ignore[misc]
        for name in ("r3d_18", "mc3_18", "r2plus1d_18")
    },
    **{
        name: Peer("pytorchvideo", lambda name=name: _pytorchvideo(name), clip)  # type: ignore[misc]
        for name, clip in {
            "slow_r50": (8, 224, 224),
            "c2d_r50": (8, 224, 224),
            "i3d_r50": (8, 224, 224),
            "r2plus1d_r50": (16, 224, 224),
            "csn_r101": (32, 224, 224),
        }.items()
    },
}


def check_peers(names: Iterable[str]) -> None:
    """Check that the libraries of the peers of these networks are installed.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        library = PEERS[name].library
        if find_spec(library) is None:
            raise UsageError(
                f"{name}: comparison needs {library}: pip install {library} (or measure res3d alone with --peers none)"
            )
