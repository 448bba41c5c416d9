"""Work of ``res3d benchmark``: plan the measurements, run them, and write the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from res3d.backbone import ResNet3d
from res3d.cli.benchmark.extraction import ExtractionResult, measure_extraction
from res3d.cli.benchmark.networks import Row, check_size, compare
from res3d.cli.benchmark.peers import PEERS, check_peers
from res3d.cli.benchmark.report import (
    Machine,
    describe_machine,
    draw,
    find_figure,
    format_costs,
    format_extraction,
    format_networks,
    write_json,
)
from res3d.cli.benchmark.settings import BenchmarkSettings
from res3d.cli.benchmark.timing import measure_ceiling
from res3d.cli.command import Keywords
from res3d.cli.computing import find_device
from res3d.cli.errors import UsageError, report_error
from res3d.features.dense import MapGrid
from res3d.files import write_whole
from res3d.video import ClipSampler, Preprocessing, VideoError, VideoReader
from res3d.weights import create_backbone

# Preprocessing of PyTorchVideo's models: shorter side 256 pixels, center crop 224
PREPROCESS = Preprocessing(resize=256, crop=(224, 224), mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
CEILINGS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Run = tuple[str, int, int]  # network, batch size, frames per clip


@dataclass(frozen=True, kw_only=True)
class ExtractionRun:
    """Feature extraction to measure."""

    backbone: ResNet3d
    reader: VideoReader
    sampler: ClipSampler

    def check(self) -> None:
        """Check that the network accepts the clips, and that context="video" is defined for them.

        Raises:
            ValueError: see ``BackboneSpec.check_size`` and ``MapGrid``.
        """
        spec = self.backbone.spec
        spec.check_size((self.sampler.length, *PREPROCESS.output_size(256, 256)))
        MapGrid(spec=spec, layer=spec.stage_names[-1], sampler=self.sampler)


def measure(settings: BenchmarkSettings) -> int:
    """Measure everything that the settings request, print and write the results, and return the exit code.

    Raises:
        UsageError: the settings are invalid. They are checked before the first measurement.
    """
    _check_names(settings)
    figure = find_figure()
    device = torch.device(find_device(settings.computing.device))
    machine = describe_machine(device)
    print(_listed(machine), flush=True)
    try:
        runs = plan_runs(settings.names, settings.batches, settings.frames)
        extraction = _open_extraction(settings)
    except (VideoError, OSError) as error:
        return report_error("benchmark", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    ceilings = {name: measure_ceiling(dtype, device) for name, dtype in CEILINGS.items()}
    rows = _measure_networks(settings, runs, ceilings, device)
    result = None if extraction is None else _measure_extraction(settings, extraction, device)
    _write(settings.out, machine, ceilings, rows, result)
    draw(Path(f"{settings.out}.svg"), rows, figure)
    print(f"wrote {settings.out}.json, {settings.out}.md, {settings.out}.svg")
    return 0


def plan_runs(names: Sequence[str], batches: Sequence[int], frames: Sequence[int]) -> list[Run]:
    """Return the runs without duplicates.

    For each network these are all batch sizes with its published number of frames, and all numbers of frames with the
    first batch size.

    Raises:
        ValueError: a network does not accept clips of this length.
    """
    runs: dict[Run, None] = {}
    for name in names:
        published = PEERS[name].clip[0]
        runs |= {(name, batch, published): None for batch in batches}
        runs |= {(name, batches[0], count): None for count in frames}
    for name, count in dict.fromkeys((name, count) for name, _, count in runs):
        check_size(name, count)
    return list(runs)


def _check_names(settings: BenchmarkSettings) -> None:
    for name in settings.names:
        if name not in PEERS:
            raise UsageError(f"no other library has the network {name!r} (accepted: {', '.join(PEERS)})")
    if settings.peers != "none":
        check_peers(settings.names)


def _open_extraction(settings: BenchmarkSettings) -> ExtractionRun | None:
    extraction = settings.extraction
    if extraction.video is None:
        return None
    run = ExtractionRun(
        reader=VideoReader(extraction.video, end=extraction.seconds, threads=settings.computing.threads),
        sampler=ClipSampler(extraction.clip_length, extraction.clip_stride),
        backbone=create_backbone(settings.names[-1]),
    )
    run.check()
    return run


def _measure_networks(
    settings: BenchmarkSettings, runs: Sequence[Run], ceilings: dict[str, float], device: torch.device
) -> list[Row]:
    options: Keywords = {"peers": settings.peers, "compile": settings.compile, "repeats": settings.repeats}
    rows: list[Row] = []
    for name, batch, frames in runs:
        run_rows = compare(name, batch=batch, frames=frames, device=device, **options)
        print(format_networks(run_rows, ceilings), flush=True)
        rows += run_rows
    return rows


def _measure_extraction(
    settings: BenchmarkSettings, extraction: ExtractionRun, device: torch.device
) -> ExtractionResult:
    result = measure_extraction(
        extraction.backbone.to(device),
        extraction.reader,
        sampler=extraction.sampler,
        preprocess=PREPROCESS,
        repeats=min(3, settings.repeats),
        dtype=settings.computing.dtype,
    )
    print(format_extraction(result), flush=True)
    return result


def _write(
    out: str,
    machine: Machine,
    ceilings: dict[str, float],
    rows: Sequence[Row],
    result: ExtractionResult | None,
) -> None:
    peak = ", ".join(f"{name} {flops / 1e9:.0f} GFLOP/s" for name, flops in ceilings.items())
    head = f"{_listed(machine)}. A 2048³ matrix product: {peak}."
    parts = [head, format_costs(rows), format_networks(rows, ceilings)]
    parts += [] if result is None else [format_extraction(result)]
    write_whole(f"{out}.md", "\n\n".join(parts) + "\n")
    write_json(Path(f"{out}.json"), machine, ceilings, rows, result)


def _listed(machine: Machine) -> str:
    return ", ".join(f"{key} {value}" for key, value in machine.items())
