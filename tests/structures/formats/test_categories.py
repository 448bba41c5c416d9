import pytest

from res3d.structures import COCO_PERSON, Category
from res3d.structures.formats.categories import add_unnamed, category_entry, read_categories, read_category


def test_category_entry_counts_skeleton_edges_from_1():
    entry = category_entry(5, Category(name="fly", keypoints=("head", "tail"), skeleton=((0, 1),)))
    assert entry == {"id": 5, "name": "fly", "keypoints": ["head", "tail"], "skeleton": [[1, 2]]}
    assert category_entry(1, Category(name="car")) == {"id": 1, "name": "car"}


def test_read_category_reverses_category_entry():
    for category in (COCO_PERSON, Category(name="car")):
        assert read_category(category_entry(1, category)) == category
    assert read_category({"name": 3, "keypoints": None, "skeleton": None}) == Category(name="3")


def test_placeholders_of_add_unnamed_are_dropped_by_read_categories():
    fly = Category(name="fly")
    categories = add_unnamed({2: fly}, [7, 2, 3])
    assert categories == {2: fly, 3: Category(name="3"), 7: Category(name="7")}
    entries = [category_entry(label, category) for label, category in categories.items()]
    assert read_categories(entries, [2, 3, 7]) == {2: fly}


def test_read_categories_refuses_labels_that_are_not_listed():
    entries = [{"id": 1, "name": "a"}, {"id": 4, "name": "b"}]
    with pytest.raises(ValueError, match=r"category_id 2, which is not listed \(accepted: 1, 4\)"):
        read_categories(entries, [1, 3, 2])
    assert read_categories([], [1, 2]) == {}
