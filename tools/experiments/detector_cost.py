#!/usr/bin/env python
"""Time and memory of one forward pass: the 3D detector, its 2D mode, and torchvision's detector frame by frame.

    python tools/experiments/detector_cost.py [--frames 8] [--size 256] [--repeat 5] [--threads 1]

All are Mask R-CNNs on a ResNet-50 with a feature pyramid, with torchvision's weights as they are drawn at random (ours
inflated from them), on the same clip of noise, with the same counts of proposals and detections. Prints a Markdown
table: seconds of a pass, the median of several that are taken in turn, so that other load on the machine falls on all;
multiply-adds of convolutions and linear layers; how far the resident memory of a fresh process rises in a pass (Linux).
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
    """What takes a clip [3, T, H, W]."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"min_size": size, "max_size": size, "rpn_pre_nms_top_n_test": proposals}
    settings |= {"rpn_post_nms_top_n_test": proposals, "rpn_nms_thresh": 0.9, "box_score_thresh": 0.0}
    settings |= {"box_detections_per_img": 20}
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES, **settings).eval()
    lively(theirs)
    if way == "torchvision, T passes":
        return lambda clip: [theirs([frame]) for frame in clip.unbind(1)]
    kernel = 1 if way == "2D mode" else None
    ours = mask_rcnn_3d("resnet50_3d", CLASSES, weights=theirs.state_dict(), temporal_kernel=kernel, **settings).eval()
    return lambda clip: ours([clip])


@torch.no_grad()
def lively(model: Any) -> None:
    """Predictors whose outputs differ from place to place, so that boxes spread over the frame."""
    model.rpn.head.cls_logits.weight.mul_(50)
    model.roi_heads.box_predictor.cls_score.weight.mul_(20)


@torch.no_grad()
def measure(arguments: argparse.Namespace) -> None:
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
    """Megabytes that one pass needs, measured in a process of its own."""
    command = [sys.executable, *sys.argv, "--memory-of", way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.no_grad()
def print_memory(arguments: argparse.Namespace) -> None:
    run = build(arguments.memory_of, arguments.size, arguments.proposals)
    clip = torch.rand(3, arguments.frames, arguments.size, arguments.size)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the models
    before = resident("VmRSS")
    run(clip)
    print(resident("VmHWM") - before)


def resident(name: str) -> float:
    """Megabytes, as Linux counts them."""
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
