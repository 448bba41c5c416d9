import numpy as np

from res3d.viz.colors import color_of, text_color_on


def test_neighboring_ids_have_clearly_different_colors():
    colors = np.array([color_of(identity) for identity in range(40)], int)
    assert np.abs(np.diff(colors, axis=0)).max(axis=1).min() > 60
    assert len(np.unique(colors, axis=0)) == 40


def test_text_is_black_on_bright_colors_and_white_on_dark_ones():
    assert text_color_on((255, 255, 255)) == text_color_on((0, 255, 0)) == (0, 0, 0)
    assert text_color_on((0, 0, 0)) == text_color_on((0, 0, 255)) == (255, 255, 255)
    assert {text_color_on(color_of(identity)) for identity in range(40)} == {(0, 0, 0), (255, 255, 255)}
