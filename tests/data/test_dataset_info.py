from types import SimpleNamespace

import pytest

from res3d.clips import ClipSpec
from res3d.data import DatasetInfo
from res3d.data.dataset_info import check_numbers, name_categories
from res3d.structures import Category


def test_infos_are_equal_if_their_classes_are():
    info = DatasetInfo(num_classes=3, categories=name_categories(("a", "b")))
    other = DatasetInfo(
        num_classes=3,
        categories=name_categories(("a", "b")),
        empty=("a",),
        targets={"masks": "N T H W"},
        partial={"keypoints": "missing"},
        clip=ClipSpec(length=4),
    )
    assert info == other
    assert info != DatasetInfo(num_classes=4, categories=info.categories)
    assert info != DatasetInfo(num_classes=3, categories=name_categories(("b", "a")))


def test_categories_have_only_names():
    assert name_categories(["x", "y"]) == (Category(name="x"), Category(name="y"))
    assert name_categories(()) == ()


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_numbers_below_their_minimum_are_refused(value):
    data = SimpleNamespace(length=value, jitter=0)
    with pytest.raises(ValueError, match=f"length must be ≥ 1, not {value}"):
        check_numbers(data, jitter=0, length=1)
    check_numbers(SimpleNamespace(length=1, jitter=0), jitter=0, length=1)
