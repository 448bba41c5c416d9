"""What it costs to take a detection for a track's: from 0, the same, to 1. A cost is a file and a row of ``COSTS``."""

from collections.abc import Callable, Mapping

from res3d.tracking.costs.appearance import appearance_cost
from res3d.tracking.costs.objects import Array, Objects
from res3d.tracking.costs.oks import oks_cost
from res3d.tracking.costs.overlap import overlap_cost
from res3d.tracking.costs.pck import pck_cost

__all__ = ["COSTS", "Array", "Objects"]

COSTS: Mapping[str, Callable[[Objects, Objects], Array]] = {
    "overlap": overlap_cost,
    "appearance": appearance_cost,
    "oks": oks_cost,
    "pck": pck_cost,
}
