"""Objects that were missed for a few frames, filled in along a straight line."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.tracking.timeline import Identity, Sighting

Array = NDArray[np.floating[Any]]


def fill_gap(
    identity: Identity,
    frames: tuple[int, int],
    boxes: tuple[Array, Array],
    keypoints: tuple[Array, Array] | None,
) -> Iterator[tuple[int, Sighting]]:
    """(frame, the object in it) for the frames between two where it was seen; its score there is 0.

    Args:
        frames: the two.
        boxes: [4] xyxy in each.
        keypoints: [K, 3] x, y, v in each; one that is unknown in either stays unknown.
    """
    for frame in range(frames[0] + 1, frames[1]):
        share = (frame - frames[0]) / (frames[1] - frames[0])
        box = (1 - share) * boxes[0] + share * boxes[1]
        points = None
        if keypoints is not None:
            points = (1 - share) * keypoints[0] + share * keypoints[1]
            points[:, 2] = np.minimum(keypoints[0][:, 2], keypoints[1][:, 2])
            points[points[:, 2] == 0] = 0
        yield (
            frame,
            Sighting(
                identities=[identity],
                boxes=box[None].astype(np.float32),
                scores=np.zeros(1, np.float32),
                keypoints=None if points is None else points[None].astype(np.float32),
            ),
        )
