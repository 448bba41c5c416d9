"""Videos of two classes as folders of images, from seeded integers, so that pixels are equal on every machine."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 24
CLASSES = ("bright", "dark")


def write_pictures(folder: Path, *, videos: int = 6, frames: int = 6, seed: int = 0) -> None:
    """Write FOLDER/CLASS/NUMBER/FRAME.png: a moving square, bright or dark as the class, on noise."""
    rng = np.random.default_rng(seed)
    for number in range(videos):
        name = CLASSES[number % len(CLASSES)]
        video = folder / name / str(number)
        video.mkdir(parents=True)
        for frame in range(frames):
            image = rng.integers(90, 150, (SIDE, SIDE, 3)).astype(np.uint8)
            image[frame : frame + 8, number : number + 8] = 230 if name == "bright" else 20
            Image.fromarray(image).save(video / f"{frame:03d}.png")
