import re
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from res3d.settings import Choice, Range, check_fields


@dataclass(frozen=True)
class Numbers:
    share: Annotated[float, Range(0, 1)] = 0.5
    overlap: Annotated[float | None, Range(0, 1, above=True)] = None
    area: Annotated[float, Range(0, unit="pixels²")] = 0.0
    count: Annotated[int, Range(1)] = 1
    most: Annotated[int | None, Range(1, 9)] = None
    way: Annotated[str, Choice({"near": 1, "far": 2})] = "near"
    name: str = "any"

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.5}, "share must be in 0..1, not 1.5"),
        ({"share": True}, "share must be in 0..1, not True"),
        ({"share": "0.5"}, "share must be in 0..1, not '0.5'"),
        ({"share": float("nan")}, "share must be in 0..1, not nan"),
        ({"share": None}, "share must be in 0..1, not None"),
        ({"overlap": 0}, "overlap must be in (0, 1] or None, not 0"),
        ({"area": float("inf")}, "area must be ≥ 0 pixels², not inf"),
        ({"count": 1.0}, "count must be a whole number ≥ 1, not 1.0"),
        ({"count": True}, "count must be a whole number ≥ 1, not True"),
        ({"most": 10}, "most must be a whole number in 1..9 or None, not 10"),
        ({"way": "up"}, "way must be one of 'near', 'far', not 'up'"),
    ],
)
def test_check_fields_refuses_values_outside_range_and_choice(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Numbers(**changes)


def test_check_fields_accepts_values_in_range():
    Numbers(share=0, overlap=1, area=1e9, count=np.int64(3), most=9)
    Numbers(share=np.float32(1), overlap=None, most=None)
