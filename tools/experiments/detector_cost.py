#!/usr/bin/env python
"""Time and memory of one forward pass: a 3D detector, its 2D mode, and torchvision's detector frame by frame.

    python tools/experiments/detector_cost.py [--frames 8] [--size 256] [--repeat 5] [--threads 1]

All are Mask R-CNNs on a ResNet-50 with a feature pyramid, with the same random weights of torchvision (inflated for
res3d), the same clip of noise, and the same numbers of proposals and detections. Prints a Markdown table with

- the seconds of a pass: the median of several, in turns, so that other load on the machine slows all equally;
- the multiply-adds of convolutions and linear layers;
- the increase of the resident memory of a new process during one pass (Linux).
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import maskrcnn_resnet50_fpn

from res3d.detection import mask_rcnn_3d

WAYS = ("3D", "2D mode", "torchvision, T passes")
CLASSES = 91


def build(way: str, size: int, proposals: int) -> Callable[[Tensor], object]:
    """Return a function that runs one of ``WAYS`` on a clip [3, T, H, W]."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"min_size": size, "max_size": size, "rpn_pre_nms_top_n_test": proposals}
    settings |= {"rpn_post_nms_top_n_test": proposals, "rpn_nms_thresh": 0.9, "box_score_thresh": 0.0}
    settings |= {"box_detections_per_img": 20}
    peer = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES, **settings).eval()
    scale_predictors(peer)
    if way == "torchvision, T passes":
        return lambda clip: [peer([frame]) for frame in clip.unbind(1)]
    kernel = 1 if way == "2D mode" else None
    model = mask_rcnn_3d("resnet50_3d", CLASSES, weights=peer.state_dict(), temporal_kernel=kernel, **settings).eval()
    return lambda clip: model([clip])


@torch.no_grad()
def scale_predictors(model: Any) -> None:
    """Scale the weights of the predictors so that scores vary over the frame and boxes spread over it."""
    model.rpn.head.cls_logits.weight.mul_(50)
    model.roi_heads.box_predictor.cls_score.weight.mul_(20)


@torch.no_grad()
def measure(arguments: argparse.Namespace) -> None:
    """Measure all ways and print the table."""
    clip = torch.rand(3, arguments.frames, arguments.size, arguments.size)
    runs = {way: build(way, arguments.size, arguments.proposals) for way in WAYS}
    adds = {}
    for way, run in runs.items():
        with FlopCounterMode(display=False) as counter:
            run(clip)
        adds[way] = counter.get_total_flops() // 2
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.repeat):
        for way, run in runs.items():
            start = time.perf_counter()
            run(clip)
            seconds[way].append(time.perf_counter() - start)
    memory = {way: memory_of(way) for way in WAYS}
    base = WAYS[-1]
    print(f"one clip of {arguments.frames}×{arguments.size}², {arguments.proposals} proposals, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        "| | seconds | to torchvision | multiply-adds | to torchvision | memory of a pass |\n|---|---|---|---|---|---|"
    )
    for way in WAYS:
        middle, of_base = statistics.median(seconds[way]), statistics.median(seconds[base])
        print(
            f"| {way} | {middle:.2f} | {middle / of_base:.2f} | {adds[way] / 1e9:.0f} G | {adds[way] / adds[base]:.2f} "
            f"| {memory[way]:.0f} MB |"
        )


def memory_of(way: str) -> float:
    """Return the megabytes that one pass needs, measured in a new process."""
    command = [sys.executable, *sys.argv, "--memory-of", way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.no_grad()
def print_memory(arguments: argparse.Namespace) -> None:
    """Run one pass and print the megabytes that it needs."""
    run = build(arguments.memory_of, arguments.size, arguments.proposals)
    clip = torch.rand(3, arguments.frames, arguments.size, arguments.size)
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak, which is that of building the models
    before = resident("VmRSS")
    run(clip)
    print(resident("VmHWM") - before)


def resident(name: str) -> float:
    """Return a memory size of this process in megabytes, from Linux's /proc/self/status."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--proposals", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    (print_memory if arguments.memory_of else measure)(arguments)


if __name__ == "__main__":
    main()
