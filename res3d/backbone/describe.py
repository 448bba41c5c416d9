"""What a model computes, stage by stage: output shapes, parameters, multiply-adds, and what is frozen."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from res3d.backbone.resnet import ClipClassifier, ResNet3d

HEADER = ("stage", "output", "parameters", "multiply-adds", "frozen")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """One stage of a model on one clip."""

    name: str
    shape: tuple[int, ...]  # (C, T, H, W); (classes,) for the classifier's head
    parameters: int  # learnable or frozen; affine pairs of frozen norms count as in trainable ones
    multiply_adds: int  # of convolutions and linear layers
    frozen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """The stages of a model in order; ``str`` prints them as a table."""

    title: str
    rows: tuple[StageRow, ...]

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)

    def __str__(self) -> str:
        cells = [list(HEADER)]
        for row in self.rows:
            shape = "×".join(map(str, row.shape))
            frozen = "frozen" if row.frozen else ""
            cells.append([row.name, shape, f"{row.parameters:,}", f"{row.multiply_adds / 1e9:.3f} G", frozen])
        cells.append(["total", "", f"{self.parameters:,}", f"{self.multiply_adds / 1e9:.3f} G", ""])
        widths = [max(len(line[i]) for line in cells) for i in range(len(HEADER))]
        left = {0, 1, 4}
        lines = [
            "  ".join(
                c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in cells
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])


def describe(model: ResNet3d | ClipClassifier, clip: tuple[int, int, int, int]) -> ModelTable:
    """The stages of ``model`` on a clip of (C, T, H, W).

    Nothing is computed with the model's weights: a copy without data is traced, so any size is quick.

    Raises:
        ValueError: a clip that the model does not take.
    """
    backbone = model.backbone if isinstance(model, ClipClassifier) else model
    if len(clip) != 4:
        raise ValueError(f"clip must be (C, T, H, W), not {clip!r}")
    with torch.device("meta"), torch.no_grad():
        traced = ResNet3d(backbone.spec).eval()
        x = torch.empty(1, *clip)
        traced._check_clip(x)
        rows = []
        for name in backbone.spec.stage_names:
            stage = backbone.stage(name)
            x, multiply_adds = _trace(traced.stage(name), x)
            rows.append(_row(name, x, stage, multiply_adds, stage.frozen))
        if isinstance(model, ClipClassifier):
            head = nn.Linear(model.fc.in_features, model.fc.out_features)
            x, multiply_adds = _trace(head, x.mean(dim=(2, 3, 4)))
            rows.append(_row("head", x, model.fc, multiply_adds, not model.fc.weight.requires_grad))
    title = f"{backbone.spec.name} on a clip of {'×'.join(map(str, clip))} (C×T×H×W)"
    return ModelTable(title=title, rows=tuple(rows))


def _row(name: str, x: Tensor, module: nn.Module, multiply_adds: int, frozen: bool) -> StageRow:
    return StageRow(
        name=name,
        shape=tuple(x.shape[1:]),
        parameters=count_parameters(module),
        multiply_adds=multiply_adds,
        frozen=frozen,
    )


def _trace(module: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    with FlopCounterMode(display=False) as counter:
        y = module(x)
    return y, counter.get_total_flops() // 2


def count_parameters(module: nn.Module) -> int:
    """Weights of a module: its parameters, and scale and shift of its frozen norms (buffers weight and bias)."""
    buffers = sum(b.numel() for name, b in module.named_buffers() if name.rsplit(".", 1)[-1] in ("weight", "bias"))
    return buffers + sum(p.numel() for p in module.parameters())
