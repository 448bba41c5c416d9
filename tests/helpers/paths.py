"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared" / "data"
