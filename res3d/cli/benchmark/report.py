"""Results of a benchmark as JSON, Markdown and a plot."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from res3d.cli.benchmark.extraction import ExtractionResult
from res3d.cli.benchmark.networks import USUAL, USUAL_BFLOAT16, Row
from res3d.cli.errors import UsageError
from res3d.files import unfinished, write_whole
from res3d.settings import missing_extra
from res3d.version import __version__

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

Machine: TypeAlias = Mapping[str, str | int]  # device, threads and versions of libraries


def describe_machine(device: torch.device) -> Machine:
    """Return the name of the device, the number of threads, and the versions of Python and the libraries."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else platform.processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **{library: version(library) for library in ("torchvision", "pytorchvideo") if find_spec(library)},
        "res3d": __version__,
        "python": platform.python_version(),
    }


def write_json(
    path: Path,
    machine: Machine,
    ceilings: dict[str, float],
    rows: Sequence[Row],
    extraction: ExtractionResult | None,
) -> None:
    """Write all results, unrounded, to a JSON file."""
    content = {
        "machine": machine,
        "ceilings_flops": ceilings,
        "networks": [{**asdict(row), "flops": row.flops} for row in rows],
        "extraction": None if extraction is None else {**asdict(extraction), "formula": extraction.formula},
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


def format_networks(rows: Sequence[Row], ceilings: dict[str, float]) -> str:
    """Return a Markdown table of all rows.

    The ratio is the speed relative to the peer, run as its users run it, in the same number type.
    """
    lines = [
        "| network | clip | contestant | type | ms | ratio | GFLOP/s | of ceiling | MiB | difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        start = f"| {row.network} | {'×'.join(map(str, row.clip))} | {row.contestant} | {row.dtype} "
        if row.seconds is None or row.flops is None:
            lines.append(f"{start}| {row.failure} | | | | | |")
            continue
        ratio = _ratio(row, rows)
        memory = "" if row.bytes is None else f"{row.bytes / 2**20:.0f}"
        difference = "" if row.difference is None else f"{row.difference:.1e}"
        lines.append(
            f"{start}| {1e3 * row.seconds:.1f} | {'' if ratio is None else f'{ratio:.2f}'} | {row.flops / 1e9:.0f} "
            f"| {100 * row.flops / ceilings[row.dtype]:.0f} % | {memory} | {difference} |"
        )
    return "\n".join(lines)


def format_costs(rows: Sequence[Row]) -> str:
    """Return a Markdown list of the parameters and the multiply-adds of each network, for one clip of each length."""
    lines = []
    for name in dict.fromkeys(row.network for row in rows):
        network_rows = [row for row in rows if row.network == name]
        costs = {"×".join(map(str, row.clip[2:])): row.multiply_adds / row.clip[0] for row in network_rows}
        texts = ", ".join(f"{macs / 1e9:.3g} G multiply-adds on {clip}" for clip, macs in costs.items())
        lines.append(f"- {name}: {network_rows[0].parameters / 1e6:.1f} M parameters; {texts}")
    return "\n".join(lines)


def _ratio(row: Row, rows: Sequence[Row]) -> float | None:
    peer = USUAL if row.dtype == "float32" else USUAL_BFLOAT16
    same = [r for r in rows if (r.network, r.clip, r.contestant) == (row.network, row.clip, peer)]
    return same[0].seconds / row.seconds if same and same[0].seconds and row.seconds else None


def format_extraction(result: ExtractionResult) -> str:
    """Return a Markdown table of the extraction: times and speedup of each mode, with the expected speedup."""
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.alone.items())
    return "\n".join(
        [
            f"{result.network}, {result.frames} frames, {result.clips} clips; each stage alone: {stages}",
            "",
            "| way | whole, s | frames/s | network, s | gain | formula |",
            "|---|---|---|---|---|---|",
            *(
                f"| {mode} | {result.seconds[mode]:.1f} | {result.frames / result.seconds[mode]:.1f} "
                f"| {result.network_seconds[mode]:.1f} | {result.gain(mode):.2f} "
                f"| {f'{result.formula:.2f}' if mode == 'shared' else ''} |"
                for mode in result.seconds
            ),
            "",
            f"Frame-wise stages: {100 * result.shared:.0f} % of a clip's time; each frame in {result.overlap:g} clips. "
            f"Shared frames differ from whole clips by {result.difference:.1e}; "
            f"dense windows agree with them to a cosine of {result.cosine:.4f}. "
            f"Stages one after the other would take {result.overlapped:.2f} times the time of the whole run.",
        ]
    )


def find_figure() -> "type[Figure]":
    """Return Matplotlib's ``Figure``. Call it before measuring, to fail early.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(str(missing_extra("benchmark", "the plot needs matplotlib"))) from None
    return Figure


def draw(path: Path, rows: Sequence[Row], make_figure: "type[Figure]") -> None:
    """Plot the milliseconds per clip over the batch size and over the number of frames.

    Colors distinguish res3d and the peer, markers the number types, and dashed lines are compiled networks.
    """
    networks = list(dict.fromkeys(row.network for row in rows))
    figure = make_figure(figsize=(9, 3 * len(networks) + 1), layout="constrained")
    axes = figure.subplots(len(networks), 2, squeeze=False)
    legend: dict[str, Artist] = {}
    for network, (by_batch, by_frames) in zip(networks, axes, strict=True):
        timed = [row for row in rows if row.network == network and row.seconds is not None]
        if not timed:  # all contestants failed
            continue
        batch, frames = min(row.clip[0] for row in timed), timed[0].clip[2]
        for axis, dimension, points in (
            (by_batch, 0, [row for row in timed if row.clip[2] == frames]),
            (by_frames, 2, [row for row in timed if row.clip[0] == batch]),
        ):
            for contestant, dtype in dict.fromkeys((row.contestant, row.dtype) for row in points):
                line = sorted(
                    (row.clip[dimension], 1e3 * (row.seconds or 0) / row.clip[0])
                    for row in points
                    if (row.contestant, row.dtype) == (contestant, dtype)
                )
                (legend[f"{contestant}, {dtype}"],) = axis.plot(
                    *zip(*line, strict=True),
                    color="tab:orange" if contestant.startswith(USUAL) else "tab:blue",
                    linestyle="--" if "compiled" in contestant else "-",
                    marker="o" if dtype == "float32" else "^",
                )
            label = "clips per batch" if dimension == 0 else "frames per clip"
            axis.set(xlabel=label, ylabel="ms per clip", title=network)
            axis.set_xticks(sorted({row.clip[dimension] for row in points}))
            axis.set_ylim(bottom=0)
    if legend:
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=2)
    with unfinished(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."))
