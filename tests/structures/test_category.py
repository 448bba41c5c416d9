import re

import pytest

from res3d.structures import COCO_KEYPOINTS, COCO_PERSON, Category


@pytest.mark.parametrize("edge", [(0, 2), (-1, 0), (0,), (0, 1, 1)])
def test_category_refuses_edges_to_unknown_keypoints(edge):
    message = f"category 'fly': a skeleton edge must be two indices from 0 and below 2, not {edge}"
    with pytest.raises(ValueError, match=re.escape(message)):
        Category(name="fly", keypoints=("head", "tail"), skeleton=((0, 1), edge))


def test_coco_person_has_the_keypoints_and_edges_of_coco():
    assert len(COCO_KEYPOINTS) == len(set(COCO_KEYPOINTS)) == 17
    assert COCO_PERSON.name == "person"
    assert len(COCO_PERSON.skeleton) == 19
    names = {frozenset(COCO_KEYPOINTS[end] for end in edge) for edge in COCO_PERSON.skeleton}
    for side in ("left", "right"):  # limbs, as in person_keypoints_val2017.json
        for one, other in (("ankle", "knee"), ("knee", "hip"), ("hip", "shoulder"), ("shoulder", "elbow")):
            assert {f"{side}_{one}", f"{side}_{other}"} in names
