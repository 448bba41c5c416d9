"""Contact sheets: several frames of a video in one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from res3d.files import unfinished
from res3d.viz.track_painter import Image

GAP = 4  # pixels between pictures


class SpreadPictures:
    """Selects pictures from a stream of any length, at about equal distances.

    Memory is that of ``2 * count + 1`` pictures at most.

    Args:
        count: number of pictures to select, at most. The first picture is selected, and the last one if count ≥ 2.

    Raises:
        ValueError: ``count`` is below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"the number of pictures of a contact sheet must be ≥ 1, not {count}")
        self._count = count
        self._total = 0  # pictures added
        self._step = 1  # every _step-th picture is buffered; the step doubles when the buffer is full
        self._buffer: list[Image] = []
        self._latest: Image | None = None  # the latest picture, unless it is in the buffer

    def add(self, picture: Image) -> None:
        """Add the next picture of the stream."""
        if self._total % self._step == 0:
            self._buffer.append(picture)
            self._latest = None
            if len(self._buffer) > 2 * self._count:
                self._buffer = self._buffer[::2]
                self._step *= 2
        else:
            self._latest = picture
        self._total += 1

    @property
    def pictures(self) -> list[Image]:
        """The selected pictures, in order."""
        buffer = self._buffer if self._latest is None else [*self._buffer, self._latest]
        selected = np.linspace(0, len(buffer) - 1, min(self._count, len(buffer))).round().astype(int)
        return [buffer[n] for n in selected.tolist()]


def write_contact_sheet(
    pictures: Sequence[Image], path: str | Path, *, columns: int = 3, max_width: int = 1920
) -> None:
    """Write pictures side by side into one PNG, row by row. An error leaves no file.

    Args:
        pictures: uint8 [H, W, 3] RGB, all of one size.
        path: the PNG file to write.
        columns: pictures per row, at most.
        max_width: largest width of the sheet in pixels; a wider sheet is scaled down.

    Raises:
        ValueError: no pictures, or pictures of different sizes.
        OSError: the file cannot be written.
    """
    if not len(pictures):
        raise ValueError("a contact sheet needs at least one picture, not 0")
    sizes = {picture.shape for picture in pictures}
    if len(sizes) != 1:
        raise ValueError(f"pictures of a contact sheet must have one size, not {sorted(sizes)}")
    height, width, _ = sizes.pop()
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for n, picture in enumerate(pictures):
        top, left = n // columns * (height + GAP), n % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    image = Pillow.fromarray(sheet)
    if image.width > max_width:
        image = image.resize((max_width, round(image.height * max_width / image.width)), Pillow.Resampling.LANCZOS)
    with unfinished(path) as temporary:
        image.save(temporary, format="PNG")
