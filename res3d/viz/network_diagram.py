"""Drawing of a network as SVG: stages side by side, blocks with their kernels, shortcuts around them."""

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

COLUMN, GAP = 250, 40
"""Width of a stage, and of the space to the next."""
BOX_X, BOX_WIDTH, BOX_HEIGHT, STRIP_HEIGHT = 58, 150, 26, 15
MARGIN, HEADER, FOOTER = 24, 40, 34
STEP = 6
"""Length of the line between two boxes."""
TOP = MARGIN + HEADER + 28
"""The y at which the layers of every stage begin."""
STROKES = {
    "identity": 'stroke="#222" stroke-width="1"',
    "project": 'stroke="#b3261e" stroke-width="4"',
    "other": 'stroke="#222" stroke-width="2" stroke-dasharray="5 3"',
}
FLOW = 'stroke="#222" stroke-width="1.5"'
LEGEND_WIDTH = 1030
MOST_ALIKE = 2
"""More equal blocks in a row than this are drawn once, with their number."""


class _Run(NamedTuple):
    """Equal blocks in a row."""

    block: BlockSpec
    convs: list[ConvPlan]
    shortcut: ShortcutPlan | None
    alike: int
    """How many there are."""


class _Canvas:
    """SVG elements, and how far down and right they reach."""

    def __init__(self) -> None:
        self.elements: list[str] = []
        self.bottom = 0.0

    def text(self, x: float, y: float, words: str, *, size: int = 11, anchor: str = "middle", more: str = "") -> None:
        self.elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" {more}>{escape(words)}</text>'
        )
        self.bottom = max(self.bottom, y)

    def line(self, points: Sequence[tuple[float, float]], stroke: str, name: str) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.elements.append(f'<polyline class="{name}" points="{path}" fill="none" {stroke}/>')

    def box(self, x: float, y: float, width: float, height: float, style: str, name: str) -> None:
        self.elements.append(
            f'<rect class="{name}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" {style}/>'
        )
        self.bottom = max(self.bottom, y + height)


def draw_network(backbone: ResNet3d, clip: tuple[int, int, int, int]) -> str:
    """An SVG of ``backbone`` on a clip of (C, T, H, W): kernels are t×y×x, shapes C×T×H×W.

    Projection shortcuts are bold, pooled ones dashed, identities thin; frozen stages are shaded; equal blocks in a row
    are drawn once, with their number.

    Raises:
        ValueError: a clip that the backbone does not take.
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
    middle = x + BOX_X + BOX_WIDTH / 2
    canvas.text(x + 10, MARGIN + HEADER + 18, name, size=15, anchor="start", more='font-weight="bold"')
    if row.frozen:
        canvas.text(x + COLUMN - 10, MARGIN + HEADER + 18, "frozen", anchor="end", more='font-style="italic"')
    canvas.text(middle, end + 16, times(row.shape), size=13, more='font-weight="bold"')
    canvas.bottom = max(canvas.bottom, end + FOOTER)


def _connect(canvas: _Canvas, x: float, end: float) -> None:
    """The line from the foot of one stage to the head of the next."""
    start, target = x + BOX_X + BOX_WIDTH / 2, x + COLUMN + GAP + BOX_X + BOX_WIDTH / 2
    foot, lane, head = end + FOOTER, x + COLUMN + GAP / 2, MARGIN + HEADER - 10
    points = [(start, end + 22), (start, foot + 8), (lane, foot + 8), (lane, head), (target, head), (target, TOP)]
    canvas.line(points, f'{FLOW} marker-end="url(#arrow)"', "flow")
    canvas.bottom = max(canvas.bottom, foot + 10)


def _draw_stage(canvas: _Canvas, spec: BackboneSpec, name: str, x: float) -> float:
    """Draw what is inside a stage, top down; returns where it ends."""
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
    """The blocks of a stage, equal neighbours together."""
    found: list[_Run] = []
    for block, stride in stage.steps():
        convs = block.plan(in_channels, stage.width, stride)
        run = _Run(block, convs, block.plan_shortcut(in_channels, stage.width, stride), 1)
        if found and found[-1][:3] == run[:3]:
            found[-1] = run._replace(alike=found[-1].alike + 1)
        else:
            found.append(run)
        in_channels = stage.out_channels
    return [
        single for run in found for single in ([run] if run.alike > MOST_ALIKE else [run._replace(alike=1)] * run.alike)
    ]


def _draw_block(canvas: _Canvas, run: _Run, x: float, top: float) -> float:
    """One block (or many alike) from the line that comes in at ``top``; returns where the line goes on."""
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
    if run.alike > 1:
        canvas.box(x + 6, top + 3, COLUMN - 12, y - top, 'fill="none" stroke="#666" stroke-dasharray="2 3"', "alike")
        canvas.text(x + COLUMN - 9, top + 18, f"×{run.alike}", size=13, anchor="end", more='font-weight="bold"')
        y = _line(canvas, x, y)
    return y


def _draw_sum(canvas: _Canvas, run: _Run, x: float, start: float, y: float) -> float:
    """The shortcut from ``start`` around the branch, and the sum where they meet."""
    middle, lane, centre = x + BOX_X + BOX_WIDTH / 2, x + 34, y + STEP + 8
    kind = run.block.shortcut.kind if run.shortcut else "identity"
    _line(canvas, x, y)
    points = [(middle, start), (lane, start), (lane, centre), (middle - 9, centre)]
    canvas.line(points, STROKES.get(kind, STROKES["other"]), f"shortcut {kind}")
    canvas.elements.append(f'<circle cx="{middle:g}" cy="{centre:g}" r="8" fill="#fff" stroke="#222"/>')
    canvas.text(middle, centre + 5, "+", size=15)
    if run.shortcut and kind != "identity":
        label = kind.replace("_", " ") + f" {times(run.shortcut.kernel)}{_stride(run.shortcut.stride)}"
        across, down = lane - 7, (start + centre) / 2
        canvas.text(across, down, label, size=10, more=f'transform="rotate(-90 {across:g} {down:g})"')
    return centre + 8


def _conv(canvas: _Canvas, plan: ConvPlan, x: float, y: float) -> float:
    label = conv_label(plan.spec, plan.out_channels) + _stride(plan.stride)
    spans_time = plan.spec.kernel[0] > 1
    return _box(canvas, label, x, y, "conv", 'fill="#bfe3cf"' if spans_time else 'fill="#ffffff"')


def _box(canvas: _Canvas, label: str, x: float, y: float, name: str, fill: str) -> float:
    y = _line(canvas, x, y)
    canvas.box(x + BOX_X, y, BOX_WIDTH, BOX_HEIGHT, f'{fill} stroke="#333"', name)
    size = next((size for size in (11, 10, 9, 8, 7) if text_width(label, size) <= BOX_WIDTH - 6), 6)
    canvas.text(x + BOX_X + BOX_WIDTH / 2, y + 17, label, size=size)
    return y + BOX_HEIGHT


def text_width(words: str, size: int) -> float:
    """Pixels that ``words`` take, near enough: digits and small letters of the usual faces are 0.6 of their size."""
    return 0.6 * size * len(words)


def _strip(canvas: _Canvas, words: str, x: float, y: float) -> float:
    """A thin box for what changes no shape: norm and ReLU."""
    y = _line(canvas, x, y)
    canvas.box(x + BOX_X, y, BOX_WIDTH, STRIP_HEIGHT, 'fill="#e4e4e0"', "strip")
    canvas.text(x + BOX_X + BOX_WIDTH / 2, y + 11, words, size=10, more='fill="#444"')
    return y + STRIP_HEIGHT


def _line(canvas: _Canvas, x: float, y: float) -> float:
    middle = x + BOX_X + BOX_WIDTH / 2
    canvas.line([(middle, y), (middle, y + STEP)], FLOW, "flow")
    return y + STEP


def _stride(stride: Size3) -> str:
    return "" if stride == ONE else f" /{times(stride)}"


def _document(canvas: _Canvas, table: ModelTable, *, columns: int) -> str:
    title = f"{table.title}: {table.parameters:,} parameters, {table.multiply_adds / 1e9:.3g} G multiply-adds"
    width = 2 * MARGIN + max(columns * COLUMN + (columns - 1) * GAP, LEGEND_WIDTH, text_width(title, 17))
    canvas.text(MARGIN, MARGIN + 8, title, size=17, anchor="start", more='font-weight="bold"')
    _legend(canvas, canvas.bottom + 26)
    height = canvas.bottom + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="Helvetica, Arial, sans-serif">'
    )
    arrow = '<defs><marker id="arrow" markerWidth="9" markerHeight="9" refX="7" refY="4" orient="auto">'
    arrow += '<path d="M0,0 L8,4 L0,8 z" fill="#222"/></marker></defs>'
    paper = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{escape(table.title)}</title>", arrow, paper, *canvas.elements, "</svg>\n"])


def _legend(canvas: _Canvas, y: float) -> None:
    x: float = MARGIN
    for name, words in (("project", "projection"), ("other", "pooled shortcut"), ("identity", "identity")):
        canvas.line([(x, y - 4), (x + 34, y - 4)], STROKES[name], "legend")
        canvas.text(x + 42, y, words, anchor="start")
        x += 160
    for fill, words in (("#bfe3cf", "spans time"), ("#cfd8e6", "frozen")):
        canvas.box(x, y - 12, 22, 15, f'fill="{fill}" stroke="#333"', "legend")
        canvas.text(x + 30, y, words, anchor="start")
        x += 130
    canvas.text(x, y, "kernels and strides are t×y×x, shapes C×T×H×W", anchor="start", more='fill="#555"')
