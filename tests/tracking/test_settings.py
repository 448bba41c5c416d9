import re

import pytest

from res3d.tracking import PRESETS, CostTerm, LinkSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_score": -0.1}, "min_score must be in 0..1, not -0.1"),
        ({"low_overlap": 2}, "low_overlap must be in 0..1, not 2"),
        ({"min_score": 0.7}, "scores must be min_score ≤ high_score ≤ new_score, not 0.7, 0.5, 0.6"),
        ({"class_overlap": 0}, "class_overlap must be in (0, 1] or None, not 0"),
        ({"max_lost": -1}, "max_lost must be a whole number ≥ 0, not -1"),
        ({"max_lost": 1.5}, "max_lost must be a whole number ≥ 0, not 1.5"),
        ({"fill_gaps": True}, "fill_gaps must be a whole number ≥ 0, not True"),
        ({"min_length": 0}, "min_length must be a whole number ≥ 1, not 0"),
        ({"max_tracks": 0}, "max_tracks must be a whole number ≥ 1 or None, not 0"),
        ({"min_area": -1}, "min_area must be ≥ 0 pixels², not -1"),
        ({"lost_reach": float("inf")}, "lost_reach must be ≥ 0 sizes of a box, not inf"),
        ({"assignment": "best"}, "assignment must be one of 'hungarian', 'greedy', not 'best'"),
        ({"motion": "kalman"}, "motion must be one of 'velocity', 'none', not 'kalman'"),
        ({"costs": ()}, "costs must have a total weight > 0, not ()"),
        ({"costs": (CostTerm("overlap", weight=0),)}, "costs must have a total weight > 0"),
        ({"max_track": 2}, "unknown setting 'max_track'; did you mean 'max_tracks'? (accepted: min_score, high_score"),
        ({"xyz": 2}, "unknown setting 'xyz' (accepted: min_score"),
    ],
)
def test_invalid_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        LinkSettings.of("default", changes)


def test_presets_can_be_selected_by_name_and_changed():
    assert LinkSettings.of("default", {}) == LinkSettings()
    assert LinkSettings.of("detect_and_track", {"max_lost": 3}).max_lost == 3
    assert LinkSettings.of(PRESETS["detect_and_track"], {}).min_score == 0.95
    with pytest.raises(ValueError, match=re.escape("unknown settings 'sort' (accepted: default, detect_and_track)")):
        LinkSettings.of("sort", {})
