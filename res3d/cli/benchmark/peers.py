"""Networks of other libraries that compute the same functions."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from torch import nn

from res3d.cli.command import UsageError


class Peer(NamedTuple):
    """A network of another library, and the (frames, height, width) of the clips it was published with."""

    library: str
    make: Callable[[], nn.Module]
    clip: tuple[int, int, int]


def _torchvision(name: str) -> nn.Module:
    network: nn.Module = getattr(import_module("torchvision.models.video"), name)()
    return network


def _pytorchvideo(name: str, **arguments: Any) -> nn.Module:
    try:
        hub = import_module("pytorchvideo.models.hub")
    except ImportError:
        raise UsageError(
            f"{name}: its peer needs PyTorchVideo: pip install pytorchvideo (or --peers none measures res3d alone)"
        ) from None
    network: nn.Module = getattr(hub, name)(pretrained=False, **arguments)
    return network


# by the names of res3d's own backbones
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
