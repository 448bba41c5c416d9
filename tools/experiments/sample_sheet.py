#!/usr/bin/env python
"""Draw six frames of the sample video with its ground truth: boxes and visible keypoints, one color per object.

python tools/experiments/sample_sheet.py docs/sample.png
"""

import sys

import numpy as np
from PIL import Image

from res3d.data import SyntheticFrame, SyntheticVideo

COLORS = np.array([[255, 90, 90], [90, 255, 90], [110, 160, 255], [255, 220, 60], [255, 120, 255]], np.uint8)


def draw(frame: SyntheticFrame) -> np.ndarray:
    """Return the image of a frame, [H, W, 3], with boxes and visible keypoints."""
    image: np.ndarray = frame.image.copy()
    for n in np.flatnonzero(frame.visible):
        x1, y1, x2, y2 = frame.boxes[n].astype(int)
        color = COLORS[n % len(COLORS)]
        image[[y1, y2 - 1], x1:x2] = color
        image[y1:y2, [x1, x2 - 1]] = color
        for x, y, v in frame.keypoints[n].astype(int):
            if v == 2:
                image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = color
    return image


def main() -> None:
    video = SyntheticVideo()
    frames = [draw(video.frame(number)) for number in (0, 25, 40, 50, 60, 90)]
    gap = np.full((frames[0].shape[0], 4, 3), 255, np.uint8)
    rows = [np.hstack([frames[r], gap, frames[r + 1], gap, frames[r + 2]]) for r in (0, 3)]
    sheet = np.vstack([rows[0], np.full((4, rows[0].shape[1], 3), 255, np.uint8), rows[1]])
    Image.fromarray(sheet).quantize(200).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
