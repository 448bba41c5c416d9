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

# heading: whether its column is flush left
COLUMNS = {
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
    """One stage of a model on one clip."""

    name: str
    layers: str
    """Kernels (t×y×x) and output channels of its layers, block by block."""
    stride: Size3
    """Frames, rows and columns of the clip per position of the output."""
    shape: tuple[int, ...]
    """(C, T, H, W) of the output; (classes,) for the classifier's head."""
    receptive_field: Size3
    """Frames, rows and columns of the clip that one position depends on through convolutions and pools, borders apart
    (squeeze-and-excitation looks at all of the clip)."""
    parameters: int
    """Learnable or frozen; affine pairs of frozen norms count as in trainable ones."""
    multiply_adds: int
    """Multiply-adds of convolutions and linear layers."""
    frozen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """The stages of a model in order; ``str`` prints them as a table, ``to_markdown`` as one to paste."""

    title: str
    rows: tuple[StageRow, ...]

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
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
        """The same table in Markdown, under its title."""
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
    """The stages of ``model`` on a clip of (C, T, H, W).

    Nothing is computed with the model's weights: a copy without data is traced, so any size is quick.

    Raises:
        ValueError: a clip that the model does not take.
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
    """(3, 8, 224, 224) as 3×8×224×224."""
    return "×".join(map(str, sizes))


def layers_of(spec: BackboneSpec, name: str) -> str:
    """The layers of one stage in a line: ``max pool 1×3×3, [1×3×3, 64 → 1×3×3, 64] ×2``."""
    if name == "stem":
        return conv_label(spec.stem.conv, spec.stem.width)
    stage = spec.stages[spec.stage_names.index(name) - 1]
    parts = [f"max pool {times(stage.pool.kernel)}"] if stage.pool else []
    for period, repeats in runs([block_label(block, stage) for block in stage.blocks]):
        blocks = ", ".join(f"[{label}]" for label in period)
        parts.append(f"({blocks}) ×{repeats}" if len(period) > 1 else f"{blocks} ×{repeats}")
    return ", ".join(parts)


def runs(labels: Sequence[str]) -> list[tuple[Sequence[str], int]]:
    """Labels as repeated singles and pairs: A, A, B, A, B, A is 2 of A and 2 of (B, A)."""
    found: list[tuple[Sequence[str], int]] = []
    while labels:
        counts = {}
        for size in (1, 2):
            repeats = 1
            while labels[repeats * size : (repeats + 1) * size] == labels[:size]:
                repeats += 1
            counts[size] = repeats
        size = 2 if 2 * counts[2] > counts[1] and counts[2] > 1 else 1
        found.append((labels[:size], counts[size]))
        labels = labels[size * counts[size] :]
    return found


def block_label(block: BlockSpec, stage: StageSpec) -> str:
    """The convolutions of a block, and what rescales them: ``1×1×1, 64 → 3×3×3, 64 → 1×1×1, 256``."""
    attention = [] if block.attention == "none" else [block.attention.replace("_", " ")]
    return " → ".join([*(conv_label(conv, stage.width * conv.expand) for conv in block.convs), *attention])


def conv_label(conv: ConvSpec, channels: int) -> str:
    """Kernel, output channels, and what is out of the ordinary: ``3×3×3, 64, depthwise``."""
    words = [times(conv.kernel), str(channels)]
    if conv.factor != "full":
        words.append(conv.factor)
    if conv.groups != 1:
        words.append(f"{conv.groups} groups" if isinstance(conv.groups, int) else conv.groups)
    if conv.dilation != ONE:
        words.append(f"dilated {times(conv.dilation)}")
    return ", ".join(words)


def _trace(module: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    with FlopCounterMode(display=False) as counter:
        y = module(x)
    return y, counter.get_total_flops() // 2


def count_parameters(module: nn.Module) -> int:
    """Weights of a module: its parameters, and scale and shift of its frozen norms (buffers weight and bias)."""
    buffers = sum(b.numel() for name, b in module.named_buffers() if name.rsplit(".", 1)[-1] in ("weight", "bias"))
    return buffers + sum(p.numel() for p in module.parameters())
