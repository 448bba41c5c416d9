"""Videos of two classes as folders of pictures: whole numbers from a seed, so the same pixels on every machine."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 24
CLASSES = ("bright", "dark")


def write_pictures(folder: Path, *, videos: int = 6, frames: int = 6, seed: int = 0) -> None:
    """FOLDER/CLASS/NUMBER/FRAME.png: a moving square on noise."""
    rng = np.random.default_rng(seed)
    for number in range(videos):
        name = CLASSES[number % len(CLASSES)]
        place = folder / name / str(number)
        place.mkdir(parents=True)
        for frame in range(frames):
            image = rng.integers(90, 150, (SIDE, SIDE, 3)).astype(np.uint8)
            image[frame : frame + 8, number : number + 8] = 230 if name == "bright" else 20
            Image.fromarray(image).save(place / f"{frame:03d}.png")
