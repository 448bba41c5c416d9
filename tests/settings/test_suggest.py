import pytest

from res3d.settings import did_you_mean, nearest_name


@pytest.mark.parametrize(
    ("name", "accepted", "nearest"),
    [
        ("widht", ("width", "weights"), "width"),
        ("resnet50", ("i3resnet50", "resnet50_3d"), "resnet50_3d"),
        ("R3D_18", ("mc3_18", "r3d_18"), "r3d_18"),
        ("r3d", ("r3d_18_long", "r3d_18"), "r3d_18"),
        ("", ("a", "b"), None),
        ("zebra", ("a", "b"), None),
        ("a", (), None),
    ],
)
def test_nearest_name_prefers_case_then_prefix_then_similarity(name, accepted, nearest):
    assert nearest_name(name, accepted) == nearest
    assert did_you_mean(name, accepted) == ("" if nearest is None else f"; did you mean {nearest!r}?")
