#!/usr/bin/env python
"""Memory and time of one training step with frozen stages: activations for the backward pass, peak memory, seconds.

    python tools/experiments/freezing_memory.py --model resnet50_3d --clip 3x8x224x224 --batch 2
    python tools/experiments/freezing_memory.py --model resnet18_3d --detector

Each setting runs in a new process, because the peak memory is that of the process. Prints a Markdown table.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import res3d
from res3d.data import SyntheticClips

Loss = Callable[[], Tensor]


def backbone_loss(name: str, clip_size: list[int], batch: int, **settings: Any) -> tuple[nn.Module, Loss]:
    """Return a backbone, and a function that computes a loss of its last feature map."""
    model = res3d.create_backbone(name, **settings).train()
    clip = torch.randn(batch, *clip_size)
    return model, lambda: model(clip)["conv5"].square().mean()


def detector_loss(name: str, clip_size: list[int], batch: int, **settings: Any) -> tuple[nn.Module, Loss]:
    """Return a detector of boxes and masks, and a function that computes its losses.

    The detector has a feature pyramid and samples 64 tubes per clip; the synthetic clips are not resized.
    """
    _, length, side, _ = clip_size
    data = SyntheticClips(num_clips=batch, length=length, side=side)
    clips, targets = zip(*(data[n] for n in range(batch)), strict=True)
    sizes: dict[str, Any] = {"min_size": side, "max_size": side, "box_batch_size_per_image": 64}
    model = res3d.detection.mask_rcnn_3d(name, num_classes=4, **sizes, **settings).train()
    needed = [{name: target[name] for name in ("boxes", "visible", "labels", "masks")} for target in targets]
    return model, lambda: torch.stack(list(model(list(clips), needed).values())).sum()


def measure(model: nn.Module, loss: Loss, steps: int) -> dict[str, float]:
    """Return the MiB of saved activations, the MiB of the peak above the start, and the median seconds of a step."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=1e-3) if trainable else None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    saved: dict[int, int] = {}  # bytes of each storage by its address

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    seconds = []
    for step in range(steps):
        start = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = loss()
        if step == 0:
            weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
            activations = sum(size for address, size in saved.items() if address not in weights)
        if optimizer is not None:
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"saved": activations / 2**20, "peak": peak / 1024, "seconds": statistics.median(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50_3d")
    parser.add_argument("--clip", default="3x8x224x224", help="CxTxHxW")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--detector", action="store_true", help="measure a whole detector, on square clips")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # one setting as JSON, measured in this process
    arguments = parser.parse_args()
    size = [int(n) for n in arguments.clip.split("x")]
    if arguments.one:
        freeze_at, checkpoint = json.loads(arguments.one)
        torch.manual_seed(0)
        stages = res3d.backbone.find_spec(arguments.model).stage_names if checkpoint else ()
        make = detector_loss if arguments.detector else backbone_loss
        model, loss = make(arguments.model, size, arguments.batch, freeze_at=freeze_at, checkpoint_stages=stages)
        print(json.dumps(measure(model, loss, arguments.steps)))
        return
    prefix = "a detector on " if arguments.detector else ""
    print(
        f"{prefix}{arguments.model}, {arguments.batch} clips of {arguments.clip}, torch {torch.__version__}, CPU, "
        f"{torch.get_num_threads()} threads, median of {arguments.steps} steps\n"
    )
    print("| freeze_at | frozen | kept for backward | peak over the start | time per step |")
    print("|---|---|---|---|---|")
    names = res3d.backbone.find_spec(arguments.model).stage_names
    for freeze_at, checkpoint in [*((n, False) for n in range(len(names) + 1)), (0, True)]:
        one = json.dumps([freeze_at, checkpoint])
        run = subprocess.run([sys.executable, *sys.argv, "--one", one], check=True, capture_output=True, text=True)
        row = json.loads(run.stdout)
        frozen = ", ".join(names[:freeze_at]) or ("nothing; all stages checkpointed" if checkpoint else "nothing")
        print(
            f"| {freeze_at} | {frozen} | {row['saved']:,.0f} MiB | {row['peak']:,.0f} MiB | {row['seconds']:.2f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
