"""``res3d benchmark``: how fast networks and extraction are, beside other libraries' networks with the same weights."""

from res3d.cli.benchmark.command import BenchmarkCommand

__all__ = ["BenchmarkCommand"]
