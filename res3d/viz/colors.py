"""Colors of track ids.

An id has the same color in every frame and every video. Colors of neighboring ids differ clearly.
"""

import colorsys

GOLDEN = 0.618034  # turns of the color wheel from one id to the next: the golden ratio keeps hues apart for any count
SHADES = ((0.75, 1.0), (0.55, 0.85), (1.0, 0.8))  # (saturation, value), used in turn

Rgb = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def color_of(identity: int) -> Rgb:
    """Return the color of a track id."""
    saturation, value = SHADES[identity % len(SHADES)]
    r, g, b = colorsys.hsv_to_rgb(identity * GOLDEN % 1, saturation, value)
    return round(255 * r), round(255 * g), round(255 * b)


def text_color_on(color: Rgb) -> Rgb:
    """Return black for text on a bright background ``color``, white on a dark one."""
    is_bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    return (0, 0, 0) if is_bright else (255, 255, 255)
