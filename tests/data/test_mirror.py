import pytest

from res3d.data import mirror_pairs
from res3d.structures import COCO_PERSON, Category


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("nose", "left_eye", "right_eye"), [(1, 2)]),
        (("RightHip", "LeftHip", "Neck"), [(1, 0)]),
        (("head", "wingL", "wingR", "legL4", "legR4"), [(1, 2), (3, 4)]),
        (("l_ear", "r_ear", "eye_l", "eye_r"), [(0, 1), (2, 3)]),
        (("L_Eye", "R_Eye", "LEFT_EAR", "RIGHT_EAR"), [(0, 1), (2, 3)]),
        (("lEye", "rEye", "LHip", "RHip", "hipLTop", "hipRTop"), [(0, 1), (2, 3), (4, 5)]),
        (("leg_l1", "leg_r1", "eye.L", "eye.R", "wing r", "wing l"), [(0, 1), (2, 3), (5, 4)]),
        (("l_leg_l", "r_leg_l", "l_leg_r", "r_leg_r"), [(0, 3), (2, 1)]),
        (("head", "tail", "left_behind"), []),
        (("Lower", "Rower", "cleft", "lobe", "robe", "ball", "bar"), []),
        (("L", "tail"), []),
    ],
)
def test_pairs_are_found_by_left_and_right_in_names(names, pairs):
    assert list(mirror_pairs([Category(name="x", keypoints=names)])) == pairs


def test_coco_person_has_eight_pairs():
    assert len(mirror_pairs([COCO_PERSON, Category(name="ball")])) == 8


def test_explicit_pairs_are_checked():
    fly = Category(name="fly", keypoints=("a", "b", "c"))
    assert mirror_pairs([fly], [("c", "a")]) == ((2, 0),)
    with pytest.raises(ValueError, match=r"pairs: there is no keypoint 'd' \(accepted: a, b, c\)"):
        mirror_pairs([fly], [("a", "d")])
    for pairs in ([("a", "b"), ("b", "c")], [("b", "b")]):
        with pytest.raises(ValueError, match="pairs: each keypoint can be in one pair only, but 'b' is in several"):
            mirror_pairs([fly], pairs)


def test_classes_with_different_keypoints_are_refused():
    with pytest.raises(ValueError, match="a flip needs classes with the same keypoints"):
        mirror_pairs([Category(name="a", keypoints=("x",)), Category(name="b", keypoints=("y",))])
    assert mirror_pairs([]) == ()
