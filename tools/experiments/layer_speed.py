#!/usr/bin/env python
"""Speed of single convolutions on a CPU, for each implementation.

    python tools/experiments/layer_speed.py [--threads 2] [--repeats 15]

Prints a Markdown table of GFLOP/s in float32. All implementations are rated by the multiply-adds of the direct
convolution, two operations each. *eager* is PyTorch's convolution, *packed* is oneDNN's with weights reordered once,
*optimized* is the result of ``optimize``, and *compiled* that of ``optimize(compile=True)``. A star marks Winograd
filtering, which needs half of the multiplications (``res3d.inference.winograd``). The errors of the eager and the
compiled convolution are relative to the largest output in float64.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from res3d.cli.benchmark.timing import time_in_turns
from res3d.inference import optimize
from res3d.inference.fused_conv import PackedConv
from res3d.inference.winograd import WinogradConv

LAYERS = [  # network and stage, input channels, output channels, kernel, stride, T × H × W of the input
    ("r3d_18 stem", 3, 64, (3, 7, 7), (1, 2, 2), (16, 112, 112)),
    ("r3d_18 conv2", 64, 64, (3, 3, 3), (1, 1, 1), (16, 56, 56)),
    ("r3d_18 conv3", 128, 128, (3, 3, 3), (1, 1, 1), (8, 28, 28)),
    ("r3d_18 conv4", 256, 256, (3, 3, 3), (1, 1, 1), (4, 14, 14)),
    ("r3d_18 conv5", 512, 512, (3, 3, 3), (1, 1, 1), (2, 7, 7)),
    ("r2plus1d_18 conv2", 64, 144, (1, 3, 3), (1, 1, 1), (16, 56, 56)),
    ("r2plus1d_18 conv2", 144, 64, (3, 1, 1), (1, 1, 1), (16, 56, 56)),
    ("r2plus1d_18 conv3", 128, 288, (1, 3, 3), (1, 1, 1), (8, 28, 28)),
    ("r2plus1d_18 conv3", 288, 128, (3, 1, 1), (1, 1, 1), (8, 28, 28)),
    ("slow_r50 stem", 3, 64, (1, 7, 7), (1, 2, 2), (8, 224, 224)),
    ("slow_r50 conv2", 256, 64, (1, 1, 1), (1, 1, 1), (8, 56, 56)),
    ("slow_r50 conv2", 64, 64, (1, 3, 3), (1, 1, 1), (8, 56, 56)),
    ("slow_r50 conv3", 512, 128, (1, 1, 1), (1, 1, 1), (8, 28, 28)),
    ("slow_r50 conv4", 1024, 256, (3, 1, 1), (1, 1, 1), (8, 14, 14)),
    ("slow_r50 conv4", 256, 256, (1, 3, 3), (1, 1, 1), (8, 14, 14)),
]


class Layer(nn.Module):
    """A network of one convolution, for ``optimize``."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv

    def dense_parts(self) -> Iterable[nn.Module]:
        return (self,)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


def uses_winograd(module: nn.Module) -> bool:
    """Return whether a network contains a Winograd convolution."""
    return any(isinstance(part, WinogradConv) for part in module.modules())


@torch.no_grad()
def row(layer: tuple[Any, ...], repeats: int) -> str:
    """Measure one layer and return its row of the table."""
    name, in_channels, out_channels, kernel, stride, size = layer
    torch._dynamo.reset()
    conv = nn.Conv3d(in_channels, out_channels, kernel, stride=stride, padding=tuple(k // 2 for k in kernel))
    plain = torch.randn(1, in_channels, *size)
    clip = plain.contiguous(memory_format=torch.channels_last_3d)
    optimized, compiled = optimize(Layer(conv)), optimize(Layer(conv), compile=True, example=clip)
    packed = PackedConv(conv, rectified=False, dtype=None)
    ways: dict[str, Callable[[], Tensor]] = {
        "eager": lambda: conv(plain),
        "packed": lambda: packed(clip),
        "optimized": lambda: optimized(clip),
        "compiled": lambda: compiled(clip),
    }
    timings = time_in_turns(ways, repeats=repeats, device=clip.device)
    exact = conv.double()(plain.double())
    operations = 2 * exact.numel() * conv.weight[0].numel()
    conv.float()
    rates = {way: f"{operations / timing.median / 1e9:.0f}" for way, timing in timings.items()}
    for way, module in (("optimized", optimized), ("compiled", compiled)):
        rates[way] += "*" if uses_winograd(module) else ""
    errors = [float((ways[way]() - exact).abs().max() / exact.abs().max()) for way in ("eager", "compiled")]
    text = f"{'×'.join(map(str, kernel))}, {in_channels} → {out_channels}, {'×'.join(map(str, size))}"
    return "| " + " | ".join([text, name, *rates.values(), *(f"{error:.0e}" for error in errors)]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; by default those of PyTorch")
    parser.add_argument("--repeats", type=int, default=15, help="number of turns; the result is the median")
    arguments = parser.parse_args()
    for name in ("threads", "repeats"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be ≥ 1, not {value}")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print("| layer, T×H×W of the input | of | eager | packed | optimized | compiled | error, eager | compiled |")
    print("|---|---|---|---|---|---|---|---|")
    for layer in LAYERS:
        print(row(layer, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
