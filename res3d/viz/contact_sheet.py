"""Several frames of a video on one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from res3d.files import unfinished
from res3d.viz.track_painter import Image

GAP = 4  # pixels between pictures


class SpreadPictures:
    """A selection of a stream of pictures, spread evenly over it, whose length need not be known.

    Args:
        count: how many at most; the first is among them, and the last if there are two or more.

    Raises:
        ValueError: a count below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"a contact sheet shows ≥ 1 picture, not {count}")
        self._count = count
        self._seen = 0
        self._step = 1  # every so many pictures, one is held; twice as many when there are too many
        self._held: list[Image] = []
        self._last: Image | None = None

    def add(self, picture: Image) -> None:
        """Add the next picture of the stream."""
        if self._seen % self._step == 0:
            self._held.append(picture)
            self._last = None
            if len(self._held) > 2 * self._count:
                self._held = self._held[::2]
                self._step *= 2
        else:
            self._last = picture
        self._seen += 1

    @property
    def pictures(self) -> list[Image]:
        """The selected pictures, in order."""
        held = self._held if self._last is None else [*self._held, self._last]
        chosen = np.linspace(0, len(held) - 1, min(self._count, len(held))).round().astype(int)
        return [held[n] for n in chosen.tolist()]


def write_contact_sheet(
    pictures: Sequence[Image], path: str | Path, *, columns: int = 3, max_width: int = 1920
) -> None:
    """Write uint8 [H, W, 3] RGB pictures of one size as a PNG, row by row; whole or not at all.

    Args:
        columns: pictures in a row, at most.
        max_width: pixels; a wider sheet is made smaller.

    Raises:
        ValueError: no pictures, or pictures of several sizes.
    """
    sizes = {picture.shape for picture in pictures}
    if len(sizes) != 1:
        raise ValueError(f"a contact sheet takes pictures of one size, not {sorted(sizes) or 'none'}")
    height, width, _ = sizes.pop()
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for n, picture in enumerate(pictures):
        top, left = n // columns * (height + GAP), n % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    drawn = Pillow.fromarray(sheet)
    if drawn.width > max_width:
        drawn = drawn.resize((max_width, round(drawn.height * max_width / drawn.width)), Pillow.Resampling.LANCZOS)
    with unfinished(path) as place:
        drawn.save(place, format="PNG")
