"""Settings of ``res3d benchmark``."""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated

from res3d.cli.computing import DTYPES, NetworkComputing
from res3d.cli.errors import UsageError
from res3d.settings import Alias, Choice, Group, Positional, Short, Shown

NETWORKS = ("r3d_18", "r2plus1d_18", "slow_r50")  # default networks


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Measurement of feature extraction from a video."""

    video: Annotated[str | None, Shown("FILE")] = None
    """Video file to extract features from. Without it, extraction is not measured."""
    seconds: float = 4.0
    """Seconds that are read from the start of the video."""
    clip_length: Annotated[int, Alias("length")] = 8
    """Frames per clip."""
    clip_stride: Annotated[int, Alias("stride")] = 2
    """Frames from the start of one clip to the start of the next."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkComputing(NetworkComputing):
    """Computing settings of a benchmark. Networks are always measured in float32 and bfloat16."""

    dtype: Annotated[str, DTYPES] = "auto"
    """Number type of the feature extraction. auto is bfloat16 on CUDA and float32 on the CPU."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """Networks, clip sizes, repeats and output of a benchmark."""

    networks: Annotated[list[str], Positional("[networks ...]")] = field(default_factory=list)
    """Networks that torchvision or PyTorchVideo also has: r3d_18, mc3_18, r2plus1d_18, slow_r50, c2d_r50, i3d_r50,
    r2plus1d_r50, csn_r101. By default r3d_18, r2plus1d_18 and slow_r50."""
    peers: Annotated[str, Choice(("usual", "best", "none")), Group("contestants")] = "usual"
    """Networks of the other library to compare with. usual: in float32 and under bfloat16 autocast. best: also compiled
    with torch.compile. none: measure res3d alone."""
    compile: Annotated[bool, Group("contestants")] = False
    """Also measure res3d's networks compiled."""
    batches: Annotated[list[int], Group("contestants")] = field(default_factory=lambda: [1])
    """Batch sizes to measure, for example 1,4: clips per batch."""
    frames: Annotated[list[int], Group("contestants")] = field(default_factory=list)
    """Clip lengths to measure, in frames, for example 8,16,32. By default the length that the network was published
    with."""
    repeats: Annotated[int, Group("contestants")] = 9
    """Number of times that each network is measured, in turns with the others. The result is the median."""
    extraction: Annotated[Extraction, Short()] = field(default_factory=Extraction)
    """Feature extraction from a video, with the last network."""
    out: Annotated[str, Group("output"), Shown("PATH")] = "benchmark"
    """Path of the results without suffix: benchmark writes benchmark.json, benchmark.md and benchmark.svg."""
    computing: Annotated[BenchmarkComputing, Short()] = field(default_factory=BenchmarkComputing)
    """Threads, device and number type."""

    @property
    def names(self) -> list[str]:
        """The networks to measure, without duplicates."""
        return list(dict.fromkeys(self.networks or NETWORKS))

    def check(self) -> None:
        """Check the sizes and the folder of the results.

        Raises:
            UsageError: a value is invalid.
        """
        if not self.batches:
            raise UsageError("--batches needs at least one size")
        for value in chain(self.batches, self.frames, [self.repeats]):
            if value < 1:
                raise UsageError(f"sizes and repeats must be ≥ 1, not {value}")
        if not Path(self.out).parent.is_dir():
            raise UsageError(f"--out {self.out}: no such folder: {str(Path(self.out).parent)!r}")
