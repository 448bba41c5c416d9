#!/usr/bin/env python
"""Error of each mode of inflation: conv5 of an inflated 3D network against its 2D network, on clips of equal frames.

    python tools/experiments/inflation_error.py [--model resnet18_3d]

The 2D network has random weights and batch-norm statistics computed on random images, so that activations have the same
scale in all layers, as in a trained network. The error is max|a - b| / max|b| over the map of one frame. Prints a
Markdown table.
"""

import argparse

import torch
from torch import nn

import res3d
from res3d.backbone import apply_overrides, find_spec
from res3d.weights.inflation import INFLATIONS

CLIPS = [(1, 0), (3, 1), (8, 4), (8, 0), (16, 8), (16, 0)]  # (frames of the clip, compared frame)


@torch.no_grad()
def calibrated(spec: res3d.BackboneSpec) -> res3d.ResNet3d:
    """Return the 2D network of a spec, with random weights, and norm statistics of random images."""
    twin = res3d.ResNet3d(apply_overrides(spec, temporal_kernel=1))
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = None  # cumulative average over all batches
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 0.5)
    for _ in range(4):
        twin.train()(torch.randn(8, spec.in_channels, 1, 64, 64))
    return twin.eval()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18_3d")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    spec = find_spec(arguments.model)
    twin = calibrated(spec)
    image = torch.randn(2, spec.in_channels, 1, 64, 64)
    truth = twin(image)["conv5"][:, :, 0]
    print(f"{spec.name}, float32, torch {torch.__version__}\n")
    print("| mode |" + "".join(f" T = {t}, frame {f} |" for t, f in CLIPS))
    print("|---|" + "---|" * len(CLIPS))
    for mode in INFLATIONS:
        model = res3d.ResNet3d(spec).eval()
        res3d.load_weights(model, twin.state_dict(), inflate=mode)
        cells = []
        for frames, position in CLIPS:
            maps = model(image.expand(-1, -1, frames, -1, -1))["conv5"]
            stride = model.feature_info["conv5"].stride[0]
            error = (maps[:, :, position // stride] - truth).abs().max() / truth.abs().max()
            percent = 100 * error.item()
            cells.append(
                f"{error.item():.0e} ×" if error > 10 else f"{percent:.0f} %" if percent > 1 else f"{percent:.2g} %"
            )
        print(f"| `{mode}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
