"""Diagrams of backbones as SVG.

Stages are drawn side by side, with the kernels of their blocks, and the shortcuts around them.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from res3d.backbone import (
    ONE,
    BackboneSpec,
    BlockSpec,
    ConvPlan,
    ModelTable,
    ResNet3d,
    ShortcutPlan,
    Size3,
    StageRow,
    StageSpec,
    conv_label,
    describe,
    times,
)

# All lengths are in pixels.
COLUMN, GAP = 250, 40
"""Width of a stage, and distance between stages."""
BOX_X, BOX_WIDTH, BOX_HEIGHT, STRIP_HEIGHT = 58, 150, 26, 15
"""Distance of the boxes of layers from the left edge of their stage, and sizes of boxes and of thin boxes."""
MARGIN, HEADER, FOOTER = 24, 40, 34
STEP = 6
"""Length of the line between two boxes."""
TOP = MARGIN + HEADER + 28
"""y coordinate where the layers of every stage start."""
STROKES = {
    "identity": 'stroke="#222" stroke-width="1"',
    "project": 'stroke="#b3261e" stroke-width="4"',
    "other": 'stroke="#222" stroke-width="2" stroke-dasharray="5 3"',
}
"""SVG attributes of the lines of shortcuts, by kind."""
FLOW = 'stroke="#222" stroke-width="1.5"'
"""SVG attributes of the lines between layers."""
LEGEND_WIDTH = 1030
MAX_REPEATS = 2
"""Longest run of equal blocks that is drawn block by block; a longer run is drawn as one block with its length."""


class _Run(NamedTuple):
    """A run of equal blocks."""

    block: BlockSpec
    convs: list[ConvPlan]
    shortcut: ShortcutPlan | None
    length: int
    """Number of blocks."""


class _Canvas:
    """SVG elements, and the largest y coordinate of their texts and boxes."""

    def __init__(self) -> None:
        self.elements: list[str] = []
        self.bottom = 0.0

    def text(
        self, x: float, y: float, text: str, *, size: int = 11, anchor: str = "middle", attributes: str = ""
    ) -> None:
        """Add a text; ``anchor`` is start, middle or end."""
        self.elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" {attributes}>{escape(text)}</text>'
        )
        self.bottom = max(self.bottom, y)

    def line(self, points: Sequence[tuple[float, float]], stroke: str, name: str) -> None:
        """Add a polyline of the class ``name``."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.elements.append(f'<polyline class="{name}" points="{path}" fill="none" {stroke}/>')

    def box(self, x: float, y: float, width: float, height: float, style: str, name: str) -> None:
        """Add a rectangle of the class ``name``."""
        self.elements.append(
            f'<rect class="{name}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" {style}/>'
        )
        self.bottom = max(self.bottom, y + height)


def draw_network(backbone: ResNet3d, clip: tuple[int, int, int, int]) -> str:
    """Return a diagram of a backbone as SVG.

    Kernels are t×y×x, shapes are C×T×H×W. Lines of projection shortcuts are bold, those of pooled shortcuts dashed,
    and those of identities thin. Frozen stages are shaded. A run of more than ``MAX_REPEATS`` equal blocks is drawn as
    one block with the length of the run.

    Args:
        backbone: the backbone.
        clip: shape (C, T, H, W) of the clip for which output shapes and multiply-adds are computed.

    Raises:
        ValueError: the backbone does not accept such a clip.
    """
    table = describe(backbone, clip)
    stages, layers = _Canvas(), _Canvas()
    columns = list(zip(backbone.spec.stage_names, table.rows, strict=True))
    for index, (name, row) in enumerate(columns):
        x = MARGIN + index * (COLUMN + GAP)
        end = _draw_stage(layers, backbone.spec, name, x)
        shade = 'fill="#cfd8e6"' if row.frozen else 'fill="#f4f4f0"'
        height = end + FOOTER - MARGIN
        stages.box(x, MARGIN + HEADER, COLUMN, height - HEADER, f'{shade} stroke="#999"', "stage")
        _label_stage(layers, name, row, x, end)
        if index + 1 < len(columns):
            _connect(layers, x, end)
    layers.elements = stages.elements + layers.elements
    return _document(layers, table, columns=len(columns))


def _label_stage(canvas: _Canvas, name: str, row: StageRow, x: float, end: float) -> None:
    """Write the name of a stage above its layers, and the shape of its output below them, at ``end``."""
    middle = x + BOX_X + BOX_WIDTH / 2
    canvas.text(x + 10, MARGIN + HEADER + 18, name, size=15, anchor="start", attributes='font-weight="bold"')
    if row.frozen:
        canvas.text(x + COLUMN - 10, MARGIN + HEADER + 18, "frozen", anchor="end", attributes='font-style="italic"')
    canvas.text(middle, end + 16, times(row.shape), size=13, attributes='font-weight="bold"')
    canvas.bottom = max(canvas.bottom, end + FOOTER)


def _connect(canvas: _Canvas, x: float, end: float) -> None:
    """Draw the line from the end of a stage to the first layer of the next stage."""
    start, target = x + BOX_X + BOX_WIDTH / 2, x + COLUMN + GAP + BOX_X + BOX_WIDTH / 2
    bottom, middle, top = end + FOOTER, x + COLUMN + GAP / 2, MARGIN + HEADER - 10
    points = [
        *((start, end + 22), (start, bottom + 8), (middle, bottom + 8)),
        *((middle, top), (target, top), (target, TOP)),
    ]
    canvas.line(points, f'{FLOW} marker-end="url(#arrow)"', "flow")
    canvas.bottom = max(canvas.bottom, bottom + 10)


def _draw_stage(canvas: _Canvas, spec: BackboneSpec, name: str, x: float) -> float:
    """Draw the layers of a stage from top to bottom; return the y coordinate of their end."""
    y: float = TOP
    if name == "stem":
        y = _conv(canvas, spec.stem.plan(spec.in_channels), x, y)
        return _strip(canvas, "norm, ReLU", x, y) if spec.stem.norm else y
    stage = spec.stages[spec.stage_names.index(name) - 1]
    if stage.pool:
        label = f"max pool {times(stage.pool.kernel)}{_stride(stage.pool.stride)}"
        y = _box(canvas, label, x, y, "pool", 'fill="#e5d8f0"')
    in_channels = spec.feature_info[spec.stage_names[spec.stage_names.index(name) - 1]].channels
    for run in _block_runs(stage, in_channels):
        y = _draw_block(canvas, run, x, y)
    is_last = name == spec.stage_names[-1]
    return _strip(canvas, "norm, ReLU", x, y) if spec.final_norm and is_last else y


def _block_runs(stage: StageSpec, in_channels: int) -> list[_Run]:
    """Return the blocks of a stage. Runs of more than ``MAX_REPEATS`` equal blocks are joined."""
    runs: list[_Run] = []
    for block, stride in stage.steps():
        convs = block.plan(in_channels, stage.width, stride)
        run = _Run(block, convs, block.plan_shortcut(in_channels, stage.width, stride), 1)
        if runs and runs[-1][:3] == run[:3]:
            runs[-1] = run._replace(length=runs[-1].length + 1)
        else:
            runs.append(run)
        in_channels = stage.out_channels
    return [
        part for run in runs for part in ([run] if run.length > MAX_REPEATS else [run._replace(length=1)] * run.length)
    ]


def _draw_block(canvas: _Canvas, run: _Run, x: float, top: float) -> float:
    """Draw a block, or a run of equal blocks, from the y coordinate ``top``; return the y coordinate of its end."""
    is_pre = run.block.order == "pre"
    start = y = _line(canvas, x, top)
    for plan in run.convs:
        if is_pre:
            y = _strip(canvas, "norm, ReLU", x, y)
            if plan is run.convs[0] and run.shortcut and run.block.shortcut.source == "preact":
                start = y = _line(canvas, x, y)
        y = _conv(canvas, plan, x, y)
        if not is_pre:
            y = _strip(canvas, "norm" if plan is run.convs[-1] else "norm, ReLU", x, y)
    if run.block.attention != "none":
        y = _box(canvas, run.block.attention.replace("_", " "), x, y, "attention", 'fill="#fbe3c0"')
    if run.block.is_residual:
        y = _draw_sum(canvas, run, x, start, y)
    if run.block.last_act and not is_pre:
        y = _strip(canvas, "ReLU", x, y)
    if run.length > 1:
        canvas.box(x + 6, top + 3, COLUMN - 12, y - top, 'fill="none" stroke="#666" stroke-dasharray="2 3"', "alike")
        canvas.text(x + COLUMN - 9, top + 18, f"×{run.length}", size=13, anchor="end", attributes='font-weight="bold"')
        y = _line(canvas, x, y)
    return y


def _draw_sum(canvas: _Canvas, run: _Run, x: float, start: float, y: float) -> float:
    """Draw the shortcut from ``start`` around the branch that ends at ``y``, and their sum; return the y of its end."""
    middle, left, center = x + BOX_X + BOX_WIDTH / 2, x + 34, y + STEP + 8
    kind = run.block.shortcut.kind if run.shortcut else "identity"
    _line(canvas, x, y)
    points = [(middle, start), (left, start), (left, center), (middle - 9, center)]
    canvas.line(points, STROKES.get(kind, STROKES["other"]), f"shortcut {kind}")
    canvas.elements.append(f'<circle cx="{middle:g}" cy="{center:g}" r="8" fill="#fff" stroke="#222"/>')
    canvas.text(middle, center + 5, "+", size=15)
    if run.shortcut and kind != "identity":
        label = kind.replace("_", " ") + f" {times(run.shortcut.kernel)}{_stride(run.shortcut.stride)}"
        text_x, text_y = left - 7, (start + center) / 2
        canvas.text(text_x, text_y, label, size=10, attributes=f'transform="rotate(-90 {text_x:g} {text_y:g})"')
    return center + 8


def _conv(canvas: _Canvas, plan: ConvPlan, x: float, y: float) -> float:
    """Draw a convolution below ``y``; return the y coordinate of its end."""
    label = conv_label(plan.spec, plan.out_channels) + _stride(plan.stride)
    spans_time = plan.spec.kernel[0] > 1
    return _box(canvas, label, x, y, "conv", 'fill="#bfe3cf"' if spans_time else 'fill="#ffffff"')


def _box(canvas: _Canvas, label: str, x: float, y: float, name: str, fill: str) -> float:
    """Draw a line and a labelled box below ``y``; return the y coordinate of its end."""
    y = _line(canvas, x, y)
    canvas.box(x + BOX_X, y, BOX_WIDTH, BOX_HEIGHT, f'{fill} stroke="#333"', name)
    size = next((size for size in (11, 10, 9, 8, 7) if text_width(label, size) <= BOX_WIDTH - 6), 6)
    canvas.text(x + BOX_X + BOX_WIDTH / 2, y + 17, label, size=size)
    return y + BOX_HEIGHT


def text_width(text: str, size: int) -> float:
    """Return the approximate width of a text: characters of common fonts are about 0.6 of the font size wide."""
    return 0.6 * size * len(text)


def _strip(canvas: _Canvas, label: str, x: float, y: float) -> float:
    """Draw a line and a thin box for layers that keep the shape (norm, ReLU); return the y coordinate of its end."""
    y = _line(canvas, x, y)
    canvas.box(x + BOX_X, y, BOX_WIDTH, STRIP_HEIGHT, 'fill="#e4e4e0"', "strip")
    canvas.text(x + BOX_X + BOX_WIDTH / 2, y + 11, label, size=10, attributes='fill="#444"')
    return y + STRIP_HEIGHT


def _line(canvas: _Canvas, x: float, y: float) -> float:
    """Draw a vertical line of the length ``STEP``; return the y coordinate of its end."""
    middle = x + BOX_X + BOX_WIDTH / 2
    canvas.line([(middle, y), (middle, y + STEP)], FLOW, "flow")
    return y + STEP


def _stride(stride: Size3) -> str:
    """Return " /t×y×x", or an empty text for a stride of 1."""
    return "" if stride == ONE else f" /{times(stride)}"


def _document(canvas: _Canvas, table: ModelTable, *, columns: int) -> str:
    """Return the SVG document of the canvas, with title and legend."""
    title = f"{table.title}: {table.parameters:,} parameters, {table.multiply_adds / 1e9:.3g} G multiply-adds"
    width = 2 * MARGIN + max(columns * COLUMN + (columns - 1) * GAP, LEGEND_WIDTH, text_width(title, 17))
    canvas.text(MARGIN, MARGIN + 8, title, size=17, anchor="start", attributes='font-weight="bold"')
    _legend(canvas, canvas.bottom + 26)
    height = canvas.bottom + MARGIN
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="Helvetica, Arial, sans-serif">'
    )
    arrow = '<defs><marker id="arrow" markerWidth="9" markerHeight="9" refX="7" refY="4" orient="auto">'
    arrow += '<path d="M0,0 L8,4 L0,8 z" fill="#222"/></marker></defs>'
    background = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    title_element = f"<title>{escape(table.title)}</title>"
    return "\n".join([opening, title_element, arrow, background, *canvas.elements, "</svg>\n"])


def _legend(canvas: _Canvas, y: float) -> None:
    """Draw the legend at ``y``."""
    x: float = MARGIN
    for name, label in (("project", "projection"), ("other", "pooled shortcut"), ("identity", "identity")):
        canvas.line([(x, y - 4), (x + 34, y - 4)], STROKES[name], "legend")
        canvas.text(x + 42, y, label, anchor="start")
        x += 160
    for fill, label in (("#bfe3cf", "spans time"), ("#cfd8e6", "frozen")):
        canvas.box(x, y - 12, 22, 15, f'fill="{fill}" stroke="#333"', "legend")
        canvas.text(x + 30, y, label, anchor="start")
        x += 130
    canvas.text(x, y, "kernels and strides are t×y×x, shapes C×T×H×W", anchor="start", attributes='fill="#555"')
