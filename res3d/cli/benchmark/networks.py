"""Comparison of networks with the same weights on the same clips, measured in turns."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from res3d.backbone import ClipClassifier, describe
from res3d.cli.benchmark.peers import PEERS
from res3d.cli.benchmark.timing import measure_memory, time_in_turns
from res3d.cli.command import Keywords
from res3d.inference import frozen_compilation, optimize, usual_memory
from res3d.weights import create_classifier, load_weights

CLASSES = 400  # of Kinetics-400
Peers = Literal["usual", "best", "none"]
Contestant: TypeAlias = Callable[[Tensor], Tensor]  # a network: clips [N, C, T, H, W] -> logits [N, classes]
USUAL, USUAL_BFLOAT16 = "peer", "peer, autocast"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Result of one contestant on one size of clips."""

    network: str
    contestant: str
    dtype: str
    clip: tuple[int, ...]  # N, C, T, H, W
    parameters: int
    multiply_adds: int  # of a whole batch
    seconds: float | None = None  # median; None after a failure
    difference: float | None = None  # max|a - b| / max|b| of the logits; b is the peer in float32, or res3d without it
    bytes: int | None = None  # peak memory in addition to the weights
    failure: str | None = None  # error message of a contestant that failed

    @property
    def flops(self) -> float | None:
        """Floating-point operations per second, two per multiply-add; None after a failure."""
        return None if self.seconds is None else 2 * self.multiply_adds / self.seconds


def check_size(name: str, frames: int) -> None:
    """Check that a network accepts clips of so many frames.

    Raises:
        ValueError: it does not.
    """
    _, h, w = PEERS[name].clip
    with torch.device("meta"):
        describe(create_classifier(name, CLASSES), (3, frames, h, w))


def compare(
    name: str, *, batch: int, frames: int, peers: Peers, compile: bool, repeats: int, device: torch.device
) -> list[Row]:
    """Measure all contestants on one size of clips, and return one row for each.

    Args:
        name: the network.
        batch: clips per batch.
        frames: frames per clip.
        peers: "usual" runs the network of the other library in eval mode, in float32 and under bfloat16 autocast.
            "best" also runs it compiled, with frozen weights and channels-last memory format. "none" runs only res3d.
        compile: also run the compiled network of res3d.
        repeats: number of turns.
        device: the device that all networks run on.

    If a contestant raises an error, its row has the message instead of a time.
    """
    torch._dynamo.reset()  # the number of compiled graphs per function is limited
    _, h, w = PEERS[name].clip
    clip = torch.randn(batch, 3, frames, h, w, device=device)
    classifier = create_classifier(name, CLASSES).eval().to(device)
    peer = None
    if peers != "none":
        peer = PEERS[name].make().eval().to(device)
        load_weights(classifier, peer.state_dict())
    table = describe(classifier, (3, frames, h, w))
    columns: Keywords = {
        "network": name,
        "clip": tuple(clip.shape),
        "parameters": table.parameters,
        "multiply_adds": batch * table.multiply_adds,
    }
    return _race(_contestants(classifier, peer, peers=peers, compile=compile), clip, columns, repeats, device)


def _contestants(
    classifier: ClipClassifier, peer: nn.Module | None, *, peers: Peers, compile: bool
) -> dict[tuple[str, str], Contestant]:
    """Return the networks to run by (contestant, dtype)."""
    contestants: dict[tuple[str, str], Contestant] = {}
    if peer is not None:
        contestants[USUAL, "float32"] = peer
        contestants[USUAL_BFLOAT16, "bfloat16"] = _under_autocast(peer)
    if peer is not None and peers == "best":
        contestants["peer, compiled", "float32"] = _compiled(peer)
        contestants["peer, autocast, compiled", "bfloat16"] = _under_autocast(_compiled(peer))
    for dtype in ("float32", "bfloat16"):
        contestants["res3d", dtype] = optimize(classifier, dtype=dtype)
        if compile:
            contestants["res3d, compiled", dtype] = optimize(classifier, dtype=dtype, compile=True)
    return contestants


def _compiled(network: nn.Module) -> Contestant:
    """Return a network compiled with frozen weights, channels-last memory format and static shapes."""
    compiled: Contestant = torch.compile(copy.deepcopy(network).to(memory_format=torch.channels_last_3d), dynamic=False)

    def run(clip: Tensor) -> Tensor:
        with frozen_compilation():
            return compiled(clip.contiguous(memory_format=torch.channels_last_3d))

    return run


def _under_autocast(network: Contestant) -> Contestant:
    def run(clip: Tensor) -> Tensor:
        with torch.autocast(clip.device.type, torch.bfloat16):
            return network(clip)

    return run


@torch.no_grad()
def _race(
    contestants: dict[tuple[str, str], Contestant],
    clip: Tensor,
    columns: Keywords,
    repeats: int,
    device: torch.device,
) -> list[Row]:
    """Run all contestants once for their outputs and memory, then in turns for their times.

    ``columns`` are the values that all rows share.
    """
    failures: dict[tuple[str, str], str] = {}
    differences: dict[tuple[str, str], float] = {}
    memory: dict[tuple[str, str], int | None] = {}
    reference = next(iter(contestants))  # the peer in float32, or without peers res3d in float32
    expected: Tensor | None = None
    for key, network in contestants.items():
        try:
            logits = network(clip).float()
        except Exception as error:  # any error of a network or its compiler is a result of the comparison
            failures[key] = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
            continue
        if key == reference:
            expected = logits
        if expected is not None:
            differences[key] = float((logits - expected).abs().max() / expected.abs().max())
        memory[key] = measure_memory(lambda network=network: network(clip), device)  # type: ignore[misc]
    runs = {str(key): lambda network=contestants[key]: network(clip) for key in memory}
    peers = {str(key) for key in contestants if key[0].startswith(USUAL)}
    # res3d changes how long freed memory stays in the process; peers are measured with the allocator's defaults.
    under: dict[bool, Callable[[], AbstractContextManager[None]]] = {True: usual_memory, False: nullcontext}
    timings = time_in_turns(runs, repeats=repeats, device=device, under=lambda name: under[name in peers]())
    return [
        Row(
            contestant=key[0],
            dtype=key[1],
            seconds=None if key in failures else timings[str(key)].median,
            difference=differences.get(key),
            bytes=memory.get(key),
            failure=failures.get(key),
            **columns,
        )
        for key in contestants
    ]
