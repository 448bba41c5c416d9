"""The command line of ``res3d benchmark``."""

from dataclasses import dataclass

from res3d.cli.benchmark.settings import BenchmarkSettings
from res3d.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class BenchmarkCommand(BenchmarkSettings, Command):
    """Measure networks beside other libraries' with the same weights and clips, in turns, and extraction from a video.

    Weights and clips are random. Results go to OUT.json, OUT.md and OUT.svg. Exit codes as for extract.
    """

    def run(self) -> int:
        """Measure and write."""
        from res3d.cli.benchmark.measure import measure

        self.check()
        return measure(self)
