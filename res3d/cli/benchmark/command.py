"""The command line of ``res3d benchmark``."""

from itertools import chain
from pathlib import Path
from typing import Literal

import torch

from res3d.cli.benchmark.extraction import ExtractionResult, measure_extraction
from res3d.cli.benchmark.networks import Row, check_size, compare
from res3d.cli.benchmark.peers import PEERS, check_peers
from res3d.cli.benchmark.report import (
    describe_machine,
    draw,
    find_figure,
    format_costs,
    format_extraction,
    format_networks,
    write_json,
)
from res3d.cli.benchmark.timing import measure_ceiling
from res3d.cli.command import UsageError
from res3d.cli.inputs import complain
from res3d.cli.settings import find_device
from res3d.clips import ClipSampler, Preprocessing
from res3d.features.dense import MapGrid
from res3d.files import write_whole
from res3d.video import VideoError, VideoReader
from res3d.weights import create_backbone

# Extraction is measured as the peer's users would set it: frames of 256 pixels, a crop of 224
PREPROCESS = Preprocessing(resize=256, crop=(224, 224), mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))


def benchmark(
    networks: list[str],
    *,
    peers: Literal["usual", "best", "none"] = "usual",
    compile: bool = False,
    batches: list[int] = [1],  # noqa: B006 (the default is what --help shows)
    frames: list[int] = [],  # noqa: B006
    repeats: int = 9,
    threads: int | None = None,
    device: str = "auto",
    video: str | None = None,
    seconds: float = 4.0,
    length: int = 8,
    stride: int = 2,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    out: str = "benchmark",
) -> int:
    """Measure networks beside other libraries' with the same weights and clips, in turns, and extraction from a video.

    Weights and clips are random. Results go to OUT.json, OUT.md and OUT.svg. Exit codes as for extract.

    Args:
        networks: names that have a peer; without, r3d_18, r2plus1d_18 and slow_r50
        peers: as their users run them, in float32 and under autocast; at their best, compiled too; or none
        compile: res3d compiled too
        batches: clips that run together, one size after the other
        frames: frames a clip, one size after the other; by default as the network was published
        repeats: turns; the median counts
        threads: of the CPU; by default PyTorch's
        device: auto, cpu, cuda, cuda:1, ...
        video: a video to extract features from with the last network
        seconds: how much of it
        length: frames per clip of the extraction
        stride: frames from one of its clips to the next
        dtype: computing type of the extraction
        out: results' path, without suffix
    """
    names = networks or ["r3d_18", "r2plus1d_18", "slow_r50"]
    _check(names, batches=batches, frames=frames, repeats=repeats, threads=threads)
    if peers != "none":
        check_peers(names)
    if not Path(out).parent.is_dir():
        raise UsageError(f"--out {out}: no folder {str(Path(out).parent)!r}")
    figure = find_figure()
    place = torch.device(find_device(device))
    if threads is not None:
        torch.set_num_threads(threads)
    machine = describe_machine(place)
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    try:
        reader = None if video is None else VideoReader(video, end=seconds)
        sampler = ClipSampler(length, stride)
        backbone = None if reader is None else create_backbone(names[-1])
        runs: dict[tuple[str, int, int], None] = {}  # each once
        for name in dict.fromkeys(names):  # what cannot be measured is known before anything is
            sizes = [*((batch, PEERS[name].clip[0]) for batch in batches), *((batches[0], count) for count in frames)]
            runs |= {(name, batch, count): None for batch, count in sizes}
        for name, count in dict.fromkeys((name, count) for name, _, count in runs):
            check_size(name, count)
        if backbone is not None:
            backbone.spec.check_size((length, *PREPROCESS.output_size(256, 256)))
            MapGrid(spec=backbone.spec, layer=backbone.spec.stage_names[-1], sampler=sampler)
    except (VideoError, OSError) as error:
        return complain("benchmark", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    ceilings = {
        name: measure_ceiling(kind, place) for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    rows: list[Row] = []
    for name, batch, count in runs:
        found = compare(name, batch=batch, frames=count, peers=peers, compile=compile, repeats=repeats, device=place)
        print(format_networks(found, ceilings), flush=True)
        rows += found
    result: ExtractionResult | None = None
    if reader is not None and backbone is not None:
        result = measure_extraction(
            backbone.to(place),
            reader,
            sampler=sampler,
            preprocess=PREPROCESS,
            repeats=min(3, repeats),
            dtype=dtype,
        )
        print(format_extraction(result), flush=True)
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    peak = ", ".join(f"{name} {flops / 1e9:.0f} GFLOP/s" for name, flops in ceilings.items())
    parts = [f"{facts}. A 2048³ matrix product: {peak}.", format_costs(rows), format_networks(rows, ceilings)]
    write_whole(f"{out}.md", "\n\n".join(parts + ([format_extraction(result)] if result else [])) + "\n")
    write_json(Path(f"{out}.json"), machine, ceilings, rows, result)
    draw(Path(f"{out}.svg"), rows, figure)
    print(f"wrote {out}.json, {out}.md, {out}.svg")
    return 0


def _check(names: list[str], *, batches: list[int], frames: list[int], repeats: int, threads: int | None) -> None:
    for name in names:
        if name not in PEERS:
            raise UsageError(f"no peer is known for {name!r} (accepted: {', '.join(PEERS)})")
    if not batches:
        raise UsageError("--batches needs at least one size")
    for value in chain(batches, frames, [repeats], [] if threads is None else [threads]):
        if value < 1:
            raise UsageError(f"sizes, repeats and threads must be ≥ 1, not {value}")
