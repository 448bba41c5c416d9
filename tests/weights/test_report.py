"""The text of a load report."""

import pytest

from res3d.weights import LoadReport, WeightsError, describe_misfits

CATEGORIES = ("loaded", "inflated", "initialized", "missing", "unexpected", "ignored")


def make_report(**changes) -> LoadReport:
    empty = dict.fromkeys(CATEGORIES, ())
    return LoadReport(
        **{"source": "w.pth", "layout": "caffe2", "channel_order": "rgb", "norm_eps": 1e-5, **empty, **changes}
    )


def test_an_empty_report_is_one_line():
    assert str(make_report()) == "w.pth: layout caffe2; norm eps 1e-05"


def test_the_text_names_a_channel_order_other_than_rgb():
    assert str(make_report(channel_order="bgr")) == "w.pth: layout caffe2, trained on BGR input; norm eps 1e-05"


def test_the_text_counts_the_tensors_and_names_the_first_three():
    lines = str(make_report(loaded=("a", "b", "c", "d"), ignored=("x", "y", "z"))).splitlines()
    assert lines[1:] == ["  loaded         4  a, b, c, ...", "  ignored        3  x, y, z"]


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_a_line(category):
    assert str(make_report(**{category: ("stem.conv.weight",)})).splitlines()[1].split() == [
        category,
        "1",
        "stem.conv.weight",
    ]


def test_misfits_are_counted_and_the_first_is_named():
    assert (
        describe_misfits({"missing": ["a", "b"], "unexpected": ["c"]})
        == "2 missing, first 'a'; 1 unexpected, first 'c'"
    )
    assert describe_misfits({"missing": [], "unexpected": ["c"]}) == "1 unexpected, first 'c'"
    assert describe_misfits({"missing": [], "unexpected": []}) == ""


def test_a_weights_error_is_a_value_error():
    assert issubclass(WeightsError, ValueError)
