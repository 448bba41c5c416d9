"""What a linker of tubes works with: the tubes of a clip, and what is known of tracks in the frames of that clip."""

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area
from res3d.structures import ClipDetections
from res3d.tracking.classes import settle_classes
from res3d.tracking.costs import Array, Objects
from res3d.tracking.matching import Rows
from res3d.tracking.settings import LinkSettings


class Tubes:
    """The tubes of a clip, sorted into what may be matched when. One that is seen in no frame is not matched at all."""

    def __init__(self, clip: ClipDetections, settings: LinkSettings) -> None:
        seen = clip.visible >= settings.visible_score
        clip, self.votes = settle_classes(clip, clip.boxes, np.where(seen, clip.visible, 0), settings)
        self.clip = clip
        boxes, length = clip.boxes.astype(np.float64), len(clip.frames)
        self.seen = clip.visible >= settings.visible_score  # [M, T]
        first, last = self.seen.argmax(axis=1), length - 1 - self.seen[:, ::-1].argmax(axis=1)
        everyone = np.arange(len(clip))
        self.last = clip.frames[last]  # [M] frame where it is last seen
        self.first_boxes, self.last_boxes = boxes[everyone, first], boxes[everyone, last]
        points = None if clip.keypoints is None else clip.keypoints.astype(np.float64)
        self.first_keypoints = None if points is None else points[everyone, first]
        self.last_keypoints = None if points is None else points[everyone, last]
        counted = self.seen.any(axis=1) & (box_area(self.first_boxes) >= settings.min_area)
        scores = np.where(counted, clip.scores, -1)
        self.high = scores >= settings.high_score
        self.low = (scores >= settings.min_score) & ~self.high
        self.new = scores >= settings.new_score
        looks = clip.embeddings if settings.needs("appearance") else None
        self._embeddings = None if looks is None else looks.astype(np.float64)
        points = points if settings.needs_poses else None
        visible = np.where(self.seen, clip.visible, 0).astype(np.float64)
        self.objects = Objects(boxes=boxes, visible=visible, embeddings=self._embeddings, keypoints=points)
        at_first = (np.arange(length) == first[:, None]) & self.seen
        self.at_first_sight = Objects(
            boxes=boxes, visible=at_first.astype(np.float64), embeddings=self._embeddings, keypoints=points
        )
        elapsed = np.maximum(self.last - clip.frames[first], 1)[:, None]
        self.velocity = (self.last_boxes - self.first_boxes) / elapsed  # [M, 4] pixels per frame

    def embeddings_of(self, columns: Rows) -> Array | None:
        """[n, E] where a cost compares them."""
        return None if self._embeddings is None else self._embeddings[columns]


class Window:
    """What is known of N tracks in the frames of the current clip, by the newest tube that covers a frame."""

    def __init__(self) -> None:
        self.frames = np.zeros(0, np.int64)  # [T]
        self.boxes = np.zeros((0, 0, 4))  # [N, T, 4]
        self.visible = np.zeros((0, 0))  # [N, T]; 0 where no tube is, or none that sees it
        self.keypoints: Array | None = None  # [N, T, K, 3], where costs need them
        self.velocity = np.zeros((0, 4))  # [N, 4] pixels per frame, over the last tube
        self.covered = np.zeros(0, np.int64)  # [N] last frame of the last tube

    def move(self, frames: NDArray[np.int64]) -> None:
        """On to the frames of the next clip; what is known of those that it shares is kept."""
        _, old, new = np.intersect1d(self.frames, frames, assume_unique=True, return_indices=True)
        for name in ("boxes", "visible", "keypoints"):
            array = getattr(self, name)
            if array is not None:
                moved = np.zeros((len(array), len(frames), *array.shape[2:]))
                moved[:, new] = array[:, old]
                setattr(self, name, moved)
        self.frames = frames

    def add(self, count: int) -> None:
        """Rows for ``count`` tracks that begin."""
        for name in ("boxes", "visible", "keypoints", "velocity", "covered"):
            array = getattr(self, name)
            if array is not None:
                setattr(self, name, np.concatenate([array, np.zeros((count, *array.shape[1:]), array.dtype)]))

    def see(self, rows: Rows, columns: Rows, tubes: Tubes) -> None:
        """Tracks at ``rows`` got the tubes at ``columns``."""
        objects = tubes.objects
        self.boxes[rows], self.visible[rows] = objects.boxes[columns], objects.visible[columns]
        if objects.keypoints is not None:
            if self.keypoints is None:
                self.keypoints = np.zeros((*self.visible.shape, *objects.keypoints.shape[2:]))
            self.keypoints[rows] = objects.keypoints[columns]
        self.velocity[rows], self.covered[rows] = tubes.velocity[columns], self.frames[-1]

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop all tracks but those at ``rows`` [N]."""
        for name in ("boxes", "visible", "keypoints", "velocity", "covered"):
            array = getattr(self, name)
            if array is not None:
                setattr(self, name, array[rows])
