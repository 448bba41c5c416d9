"""``res3d benchmark``: speed of networks, compared with other libraries' networks, and of feature extraction."""

from res3d.cli.benchmark.command import BenchmarkCommand

__all__ = ["BenchmarkCommand"]
