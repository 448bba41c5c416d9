"""Networks side by side: the same weights, the same clips, in turns."""

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

CLASSES = 400  # Kinetics-400's
Peers = Literal["usual", "best", "none"]
Contestant: TypeAlias = Callable[[Tensor], Tensor]  # a network, called with a clip
USUAL, USUAL_BFLOAT16 = "peer", "peer, autocast"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contestant on one size of clip. ``failure`` says why there is no time."""

    network: str
    contestant: str
    dtype: str
    clip: tuple[int, ...]  # N, C, T, H, W
    parameters: int
    multiply_adds: int  # of a whole batch
    seconds: float | None = None
    difference: float | None = None  # of the logits from the peer's in float32 (without peers, ours): largest, relative
    bytes: int | None = None  # at the peak, beyond the weights
    failure: str | None = None

    @property
    def flops(self) -> float | None:
        """FLOP/s, two a multiply-add."""
        return None if self.seconds is None else 2 * self.multiply_adds / self.seconds


def check_size(name: str, frames: int) -> None:
    """ValueError for clips of so many frames that the network does not take."""
    _, h, w = PEERS[name].clip
    with torch.device("meta"):
        describe(create_classifier(name, CLASSES), (3, frames, h, w))


def compare(
    name: str, *, batch: int, frames: int, peers: Peers, compile: bool, repeats: int, device: torch.device
) -> list[Row]:
    """Every contestant on one size of clip.

    The peer as its users run it: in eval mode, in float32 and under autocast. At its best: that compiled too, with
    weights frozen and channels innermost. A contestant that raises gets a row that says so.
    """
    torch._dynamo.reset()  # graphs of other sizes and networks, whose number is limited
    _, h, w = PEERS[name].clip
    clip = torch.randn(batch, 3, frames, h, w, device=device)
    ours = create_classifier(name, CLASSES).eval().to(device)
    theirs = None
    if peers != "none":
        theirs = PEERS[name].make().eval().to(device)
        load_weights(ours, theirs.state_dict())
    table = describe(ours, (3, frames, h, w))
    facts: Keywords = {
        "network": name,
        "clip": tuple(clip.shape),
        "parameters": table.parameters,
        "multiply_adds": batch * table.multiply_adds,
    }
    return _race(_contestants(ours, theirs, peers=peers, compile=compile), clip, facts, repeats, device)


def _contestants(
    ours: ClipClassifier, theirs: nn.Module | None, *, peers: Peers, compile: bool
) -> dict[tuple[str, str], Contestant]:
    """(contestant, dtype): what it runs."""
    found: dict[tuple[str, str], Contestant] = {}
    if theirs is not None:
        found[USUAL, "float32"] = theirs
        found[USUAL_BFLOAT16, "bfloat16"] = _under_autocast(theirs)
    if theirs is not None and peers == "best":
        found["peer, compiled", "float32"] = _compiled(theirs)
        found["peer, autocast, compiled", "bfloat16"] = _under_autocast(_compiled(theirs))
    for dtype in ("float32", "bfloat16"):
        found["res3d", dtype] = optimize(ours, dtype=dtype)
        if compile:
            found["res3d, compiled", dtype] = optimize(ours, dtype=dtype, compile=True)
    return found


def _compiled(network: nn.Module) -> Contestant:
    """Weights frozen, channels innermost, for this size of clip only: the best that a user can ask for."""
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
    facts: Keywords,
    repeats: int,
    device: torch.device,
) -> list[Row]:
    failures: dict[tuple[str, str], str] = {}
    differences: dict[tuple[str, str], float] = {}
    memory: dict[tuple[str, str], int | None] = {}
    reference = next(iter(contestants))  # the peer, or without peers ourselves, in float32
    expected: Tensor | None = None
    for key, network in contestants.items():
        try:
            logits = network(clip).float()
        except Exception as error:  # whatever a peer, or its compiler, raises is a result of the comparison
            failures[key] = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
            continue
        if key == reference:
            expected = logits
        if expected is not None:
            differences[key] = float((logits - expected).abs().max() / expected.abs().max())
        memory[key] = measure_memory(lambda network=network: network(clip), device)  # type: ignore[misc]
    runs = {str(key): lambda network=contestants[key]: network(clip) for key in memory}
    peers = {str(key) for key in contestants if key[0].startswith(USUAL)}
    # Peers are measured as in processes without res3d, which changes how long freed memory stays.
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
            **facts,
        )
        for key in contestants
    ]
