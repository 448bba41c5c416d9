"""Tables of a model, stage by stage: layers, output shapes, receptive fields, parameters and multiply-adds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from res3d.backbone.block_spec import BlockSpec, ConvSpec
from res3d.backbone.classifier import ClipClassifier, pool_head
from res3d.backbone.convs import ONE, Size3
from res3d.backbone.resnet import ResNet3d, check_clip
from res3d.backbone.spec import BackboneSpec, HeadSpec, StageSpec

COLUMNS = {  # heading: True if its column is left-aligned
    "stage": True,
    "layers": True,
    "stride": True,
    "output C×T×H×W": True,
    "sees T×H×W": True,
    "parameters": False,
    "multiply-adds": False,
    "frozen": True,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """One row of a ``ModelTable``: a stage of a model, or its classifier head, applied to one clip."""

    name: str
    layers: str
    """Kernels (t×y×x) and output channels of its layers, block by block."""
    stride: Size3
    """Frames, rows and columns of the clip per position of the output, (t, y, x)."""
    shape: tuple[int, ...]
    """(C, T, H, W) of the output; (classes,) for the classifier's head."""
    receptive_field: Size3
    """Frames, rows and columns of the clip that one position away from the borders depends on through convolutions and
    pools. Squeeze-and-excitation, which depends on the whole clip, does not count."""
    parameters: int
    """Parameters, frozen ones included. Scale and shift of frozen norms count too, although they are buffers."""
    multiply_adds: int
    """Multiply-adds of convolutions and linear layers; norms and pools do not count."""
    frozen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """Table of the stages of a model, in order; ``str`` returns it as plain text, ``to_markdown`` as Markdown."""

    title: str
    rows: tuple[StageRow, ...]

    @property
    def parameters(self) -> int:
        """Parameters of all rows."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all rows, for one clip."""
        return sum(row.multiply_adds for row in self.rows)

    def __str__(self) -> str:
        cells = [list(COLUMNS), *self._cells()]
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        lines = [
            "  ".join(
                cell.ljust(width) if is_left else cell.rjust(width)
                for cell, width, is_left in zip(line, widths, COLUMNS.values(), strict=True)
            )
            for line in cells
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    def to_markdown(self) -> str:
        """Return the title and the table in Markdown."""
        rule = [":--" if is_left else "--:" for is_left in COLUMNS.values()]
        lines = ["| " + " | ".join(line) + " |" for line in [list(COLUMNS), rule, *self._cells()]]
        return "\n".join([f"**{self.title}**", "", *lines])

    def _cells(self) -> list[list[str]]:
        scale, unit = (1e9, "G") if self.multiply_adds >= 1e9 else (1e6, "M")
        rows = [
            [
                row.name,
                row.layers,
                times(row.stride),
                times(row.shape),
                times(row.receptive_field),
                f"{row.parameters:,}",
                f"{row.multiply_adds / scale:.3f} {unit}",
                "frozen" if row.frozen else "",
            ]
            for row in self.rows
        ]
        return [
            *rows,
            ["total", "", "", "", "", f"{self.parameters:,}", f"{self.multiply_adds / scale:.3f} {unit}", ""],
        ]


def describe(model: ResNet3d | ClipClassifier, clip: tuple[int, int, int, int]) -> ModelTable:
    """Return the table of the stages of ``model`` for a clip of (C, T, H, W).

    A copy of the model on PyTorch's meta device is traced, so clips of any size are quick.

    Raises:
        ValueError: a clip of another number of channels than the model's, or one that is too small for it.
    """
    backbone = model.backbone if isinstance(model, ClipClassifier) else model
    spec = backbone.spec
    if (
        not isinstance(clip, tuple)
        or len(clip) != 4
        or any(not isinstance(n, int) or isinstance(n, bool) or not 1 <= n < 10**6 for n in clip)
    ):
        raise ValueError(f"clip must be (C, T, H, W), four whole numbers from 1 to 999999, not {clip!r}")
    with torch.device("meta"), torch.no_grad():
        traced = ResNet3d(spec).eval()
        x = torch.empty(1, *clip)
        check_clip(x, spec)
        rows = []
        for name in spec.stage_names:
            x, multiply_adds = _trace(traced.stage(name), x)
            row = StageRow(
                name=name,
                layers=layers_of(spec, name),
                stride=spec.feature_info[name].stride,
                shape=tuple(x.shape[1:]),
                receptive_field=spec.receptive_field(name),
                parameters=count_parameters(backbone.stage(name)),
                multiply_adds=multiply_adds,
                frozen=backbone.stage(name).frozen,
            )
            rows.append(row)
        if isinstance(model, ClipClassifier):
            rows.append(_head_row(model, x, clip))
    return ModelTable(title=f"{spec.name} on a clip of {times(clip)} (C×T×H×W)", rows=tuple(rows))


def _head_row(model: ClipClassifier, x: Tensor, clip: tuple[int, int, int, int]) -> StageRow:
    head = model.backbone.spec.head
    pooled = pool_head(x, head, model.backbone.spec.name)
    logits, multiply_adds = _trace(nn.Linear(model.fc.in_features, model.fc.out_features), pooled)
    return StageRow(
        name="head",
        layers=f"{_head_layers(head)} → linear",
        stride=clip[1:],
        shape=tuple(logits.shape[1:]),
        receptive_field=clip[1:],
        parameters=count_parameters(model.fc),
        multiply_adds=multiply_adds,
        frozen=not model.fc.weight.requires_grad,
    )


def _head_layers(head: HeadSpec) -> str:
    window = "all" if head.window is None else times(head.window)
    return f"{head.pool} pool {window}"


def times(sizes: tuple[int, ...]) -> str:
    """Join sizes with ×: (3, 8, 224, 224) gives 3×8×224×224."""
    return "×".join(map(str, sizes))


def layers_of(spec: BackboneSpec, name: str) -> str:
    """Return the layers of one stage in one line: ``max pool 1×3×3, [1×3×3, 64 → 1×3×3, 64] ×2``."""
    if name == "stem":
        return conv_label(spec.stem.conv, spec.stem.width)
    stage = spec.stages[spec.stage_names.index(name) - 1]
    parts = [f"max pool {times(stage.pool.kernel)}"] if stage.pool else []
    for period, repeats in group_repeats([block_label(block, stage) for block in stage.blocks]):
        blocks = ", ".join(f"[{label}]" for label in period)
        parts.append(f"({blocks}) ×{repeats}" if len(period) > 1 else f"{blocks} ×{repeats}")
    return ", ".join(parts)


def group_repeats(labels: Sequence[str]) -> list[tuple[Sequence[str], int]]:
    """Group labels into repeated singles and pairs: A, A, B, A, B, A gives 2 × A and 2 × (B, A)."""
    groups: list[tuple[Sequence[str], int]] = []
    while labels:
        counts = {}
        for size in (1, 2):
            repeats = 1
            while labels[repeats * size : (repeats + 1) * size] == labels[:size]:
                repeats += 1
            counts[size] = repeats
        size = 2 if 2 * counts[2] > counts[1] and counts[2] > 1 else 1
        groups.append((labels[:size], counts[size]))
        labels = labels[size * counts[size] :]
    return groups


def block_label(block: BlockSpec, stage: StageSpec) -> str:
    """Return the convolutions of a block and its attention: ``1×1×1, 64 → 3×3×3, 64 → 1×1×1, 256``."""
    attention = [] if block.attention == "none" else [block.attention.replace("_", " ")]
    return " → ".join([*(conv_label(conv, stage.width * conv.expand) for conv in block.convs), *attention])


def conv_label(conv: ConvSpec, channels: int) -> str:
    """Return kernel, output channels, and factoring, groups and dilation if any: ``3×3×3, 64, depthwise``."""
    parts = [times(conv.kernel), str(channels)]
    if conv.factor != "full":
        parts.append(conv.factor)
    if conv.groups != 1:
        parts.append(f"{conv.groups} groups" if isinstance(conv.groups, int) else conv.groups)
    if conv.dilation != ONE:
        parts.append(f"dilated {times(conv.dilation)}")
    return ", ".join(parts)


def _trace(module: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """Return the output of ``module`` for ``x``, and its multiply-adds."""
    with FlopCounterMode(display=False) as counter:
        y = module(x)
    return y, counter.get_total_flops() // 2


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters of a module, with scale and shift of frozen norms (buffers weight and bias)."""
    buffers = sum(b.numel() for name, b in module.named_buffers() if name.rsplit(".", 1)[-1] in ("weight", "bias"))
    return buffers + sum(p.numel() for p in module.parameters())
