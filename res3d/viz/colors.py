"""Colors of ids: the same in every frame and every video, and far from those of the ids next to it."""

import colorsys

GOLDEN = 0.618034  # of a turn around the color wheel: ids in a row get hues far apart, however many there are
SHADES = ((0.75, 1.0), (0.55, 0.85), (1.0, 0.8))  # (saturation, value), in turn

Rgb = tuple[int, int, int]


def color_of(identity: int) -> Rgb:
    """Return the RGB color, 0 to 255, of an id."""
    saturation, value = SHADES[identity % len(SHADES)]
    r, g, b = colorsys.hsv_to_rgb(identity * GOLDEN % 1, saturation, value)
    return round(255 * r), round(255 * g), round(255 * b)


def text_color_on(color: Rgb) -> Rgb:
    """Return black or white, whichever can be read on ``color``."""
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    return (0, 0, 0) if bright else (255, 255, 255)
