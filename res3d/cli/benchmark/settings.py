"""What ``res3d benchmark`` measures, and on what."""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated

from res3d.cli.computing import DTYPES, NetworkComputing
from res3d.cli.errors import UsageError
from res3d.settings import Alias, Choice, Group, Positional, Short, Shown

NETWORKS = ("r3d_18", "r2plus1d_18", "slow_r50")  # what is measured where none is named


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Extraction of features from a video with the last network."""

    video: Annotated[str | None, Shown("FILE")] = None
    """A video; without, extraction is not measured."""
    seconds: float = 4.0
    """How much of it is read."""
    clip_length: Annotated[int, Alias("length")] = 8
    """Frames per clip."""
    clip_stride: Annotated[int, Alias("stride")] = 2
    """Frames from the start of one clip to the start of the next."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkComputing(NetworkComputing):
    """What is computed on; networks are measured in float32 and bfloat16."""

    dtype: Annotated[str, DTYPES] = "auto"
    """Computing type of the extraction; auto is bfloat16 on CUDA, float32 elsewhere."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """What is measured, how often, and where the results go."""

    networks: Annotated[list[str], Positional("[networks ...]")] = field(default_factory=list)
    """Names that have a peer; without, r3d_18, r2plus1d_18 and slow_r50."""
    peers: Annotated[str, Choice(("usual", "best", "none")), Group("contestants")] = "usual"
    """Other libraries' networks as their users run them, in float32 and under autocast; at their best, compiled too; or
    none."""
    compile: Annotated[bool, Group("contestants")] = False
    """Measure res3d's networks compiled too."""
    batches: Annotated[list[int], Group("contestants")] = field(default_factory=lambda: [1])
    """Clips that run together, one size after the other."""
    frames: Annotated[list[int], Group("contestants")] = field(default_factory=list)
    """Frames per clip, one size after the other; by default as the network was published."""
    repeats: Annotated[int, Group("contestants")] = 9
    """Turns; the median counts."""
    extraction: Annotated[Extraction, Short()] = field(default_factory=Extraction)
    """Extraction of features with the last network."""
    out: Annotated[str, Group("output"), Shown("PATH")] = "benchmark"
    """Path of the results, without suffix."""
    computing: Annotated[BenchmarkComputing, Short()] = field(default_factory=BenchmarkComputing)
    """What is computed on."""

    @property
    def names(self) -> list[str]:
        """The networks to measure, each once."""
        return list(dict.fromkeys(self.networks or NETWORKS))

    def check(self) -> None:
        """Refuse sizes that nothing can be measured with.

        Raises:
            UsageError: naming the flag.
        """
        if not self.batches:
            raise UsageError("--batches needs at least one size")
        for value in chain(self.batches, self.frames, [self.repeats]):
            if value < 1:
                raise UsageError(f"sizes and repeats must be ≥ 1, not {value}")
        if not Path(self.out).parent.is_dir():
            raise UsageError(f"--out {self.out}: no folder {str(Path(self.out).parent)!r}")
