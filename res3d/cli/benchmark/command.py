"""Command class of ``res3d benchmark``."""

from dataclasses import dataclass

from res3d.cli.benchmark.settings import BenchmarkSettings
from res3d.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class BenchmarkCommand(BenchmarkSettings, Command):
    """Measure the speed of networks, compared with the same networks of other libraries, and of feature extraction.

    All networks run in turns on the same clips, with the same weights; clips and weights are random. The results are
    written to OUT.json, OUT.md and OUT.svg. The exit code is 0 after success, 1 if the video could not be read, 2 for
    invalid settings, 130 after Ctrl-C.
    """

    def run(self) -> int:
        """Measure, and write the results."""
        from res3d.cli.benchmark.measure import measure

        self.check()
        return measure(self)
