"""Several frames on one picture, to see at a glance what a video holds."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from res3d.viz.track_painter import Image

GAP = 4  # pixels between pictures


def spread_frames(num_frames: int, count: int) -> list[int]:
    """Up to ``count`` frame numbers, spread evenly over a video, first and last among them."""
    if count < 1:
        raise ValueError(f"a contact sheet shows ≥ 1 frame, not {count}")
    return sorted(set(np.linspace(0, max(0, num_frames - 1), min(count, num_frames)).round().astype(int).tolist()))


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
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        drawn.save(unfinished, format="PNG")
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
