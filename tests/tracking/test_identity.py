from res3d.tracking.identity import Identity


def test_the_class_has_the_highest_sum_of_scores():
    identity = Identity([(2, 0.9)])
    identity.vote([(1, 0.5)])
    assert (identity.label, identity.first_label) == (2, 2)
    identity.vote([(1, 0.5), (2, 0.05)])
    assert (identity.label, identity.first_label) == (1, 2)


def test_of_equal_sums_the_class_that_was_voted_for_first_is_used():
    assert Identity([(3, 0.5), (1, 0.5)]).label == 3


def test_a_track_has_no_id_until_it_is_confirmed():
    identity = Identity([(1, 0.9)])
    assert identity.id is None
    identity.confirm(4)
    assert identity.id == 4


def test_merged_tracks_share_id_class_and_votes():
    first, second, third = Identity([(1, 0.9)]), Identity([(2, 0.5)]), Identity([(2, 0.3)])
    first.confirm(1)
    second.merge_into(first)
    third.merge_into(second)
    assert [identity.id for identity in (first, second, third)] == [1, 1, 1]
    assert [identity.label for identity in (first, second, third)] == [1, 1, 1]  # 0.9 for class 1, 0.8 for class 2
    third.vote([(2, 0.2)])
    assert [identity.label for identity in (first, second, third)] == [2, 2, 2]


def test_a_track_that_is_confirmed_after_the_merge_confirms_the_merged_track():
    parent, child = Identity([(1, 0.9)]), Identity([(1, 0.9)])
    child.merge_into(parent)
    assert child.id is None
    parent.confirm(2)
    assert child.id == 2
