"""Links detections frame by frame: by confidence in two stages, with a motion model, and again after a gap.

The stages are ByteTrack's (arXiv 2110.06864): detections of high score first, those of low score to go on with tracks
that just had one. What is left is looked for around the place where it was last seen, which OC-SORT (arXiv 2203.14360)
trusts more than a prediction: an object that stopped, turned or jumped is not where its motion said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area, box_cover
from res3d.structures import FrameDetections, FrameTracks
from res3d.tracking.classes import settle_classes
from res3d.tracking.costs import Array, Objects
from res3d.tracking.gaps import fill_gap
from res3d.tracking.matching import Matching, Rows
from res3d.tracking.mixed_cost import CostTerm, mixed_cost
from res3d.tracking.motion import BoxMotion
from res3d.tracking.pool import TrackPool
from res3d.tracking.reach import reach_cost
from res3d.tracking.settings import LinkSettings
from res3d.tracking.timeline import Identity, Sighting, Timeline

COVERED = 0.2  # share of a box from which on what is in front of it may hide it


class FrameLinker:
    """Takes the detections of a video frame by frame and gives tracked frames as soon as they are final.

    Memory grows with the number of objects and with ``max_lost``, not with the length of the video.
    """

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._pool = TrackPool(settings)
        self._motion = BoxMotion()
        self._timeline = Timeline(settings.visible_score)
        self._frame = -1
        self._near = (CostTerm("overlap", gate=1 - settings.low_overlap),)

    def push(self, detections: FrameDetections | Mapping[str, Any]) -> list[FrameTracks]:
        """Add the next frame; gives the frames that no later one can change, in order.

        Raises:
            ValueError: what ``FrameDetections`` refuses, or detections without what a cost needs.
        """
        if not isinstance(detections, FrameDetections):
            detections = FrameDetections.from_mapping(detections)
        self._frame += 1
        self._timeline.open(self._frame)
        if self._settings.motion == "velocity":
            self._motion.predict()
        seen = _Seen(detections, self._settings)
        matching = self._match(seen)
        self._go_on(*matching.pairs, seen)
        self._begin(np.flatnonzero(seen.new & matching.is_free), seen, matching)
        self._pool.decide(self._frame)
        self._drop(self._pool.expired(self._frame))
        return self._timeline.release(self._pool.undecided_from(self._frame))

    def finish(self) -> list[FrameTracks]:
        """The rest, once the video is over: what is tentative now was too short."""
        self._pool.decide(None)
        return self._timeline.release(self._frame + 1)

    def _match(self, seen: "_Seen") -> Matching:
        pool = self._pool
        matching = Matching(pool.labels, seen.detections.labels, self._settings.assignment)
        expected = self._motion.boxes if self._settings.motion == "velocity" else pool.boxes
        confirmed, recent = pool.confirmed, pool.confirmed & (pool.last == self._frame - 1)
        matching.stage(confirmed, seen.high, self._cost(self._settings.costs, expected, seen))
        if self._settings.same_place:
            cost = self._cost(self._settings.same_place, expected, seen)
            matching.stage(np.ones(len(pool), bool), seen.high, cost, any_class=True)
        matching.stage(recent, seen.low, self._cost(self._near, expected, seen))
        if len(pool) and (seen.high & matching.is_free).any():
            in_sight = recent & ~self._hidden(matching, seen)
            matching.stage(in_sight, seen.high, self._reach(seen))
        matching.stage(~confirmed, seen.high, self._cost(self._settings.costs, expected, seen))
        return matching

    def _cost(self, terms: Sequence[CostTerm], expected: Array, seen: "_Seen") -> Callable[[Rows, Rows], Array]:
        def cost(rows: Rows, columns: Rows) -> Array:
            return mixed_cost(terms, self._expected_objects(rows, expected), seen.objects[columns])

        return cost

    def _reach(self, seen: "_Seen") -> Callable[[Rows, Rows], Array]:
        def cost(rows: Rows, columns: Rows) -> Array:
            pool = self._pool
            return reach_cost(pool.boxes[rows], seen.boxes[columns], self._settings.lost_reach, pool.sizes[rows])

        return cost

    def _expected_objects(self, rows: Rows, expected: Array) -> Objects:
        """Tracks at the boxes where they are expected, their poses moved along."""
        pool, boxes = self._pool, expected[rows]
        keypoints = None
        if pool.keypoints is not None and self._settings.needs_poses:
            keypoints = pool.keypoints[rows, None]
            moved = boxes - pool.boxes[rows]
            keypoints[..., :2] += ((moved[:, :2] + moved[:, 2:]) / 2)[:, None, None]
        return Objects(
            boxes=boxes[:, None],
            visible=np.ones((len(rows), 1)),
            embeddings=None if pool.embeddings is None else pool.embeddings[rows],
            keypoints=keypoints,
        )

    def _go_on(self, rows: Rows, columns: Rows, seen: "_Seen") -> None:
        """Tracks at ``rows`` got the detections at ``columns``."""
        pool, boxes = self._pool, seen.boxes[columns]
        gaps = self._frame - pool.last[rows] - 1
        for n in np.flatnonzero((gaps > 0) & (gaps <= self._settings.fill_gaps)).tolist():
            self._fill(int(rows[n]), int(columns[n]), seen)
        pool.go_on(
            rows,
            self._frame,
            boxes,
            votes=[seen.votes[column] for column in columns.tolist()],
            embeddings=seen.embeddings_of(columns),
            keypoints=seen.keypoints_of(columns),
        )
        if self._settings.motion == "velocity":
            self._motion.update(rows, boxes)
        self._show([pool.identities[row] for row in rows.tolist()], columns, seen)

    def _hidden(self, matching: Matching, seen: "_Seen") -> NDArray[np.bool_]:
        """[tracks]: another object is in front of where it was last seen, which explains why it is not seen there.

        Without such an excuse it must have gone somewhere else.
        """
        others = seen.boxes[~matching.is_free]
        cover = box_cover(self._pool.boxes, others).max(axis=1, initial=0)
        return np.asarray(cover > COVERED)

    def _begin(self, columns: Rows, seen: "_Seen", matching: Matching) -> None:
        """Detections at ``columns`` start tracks."""
        if not len(columns):
            return
        boxes = seen.boxes[columns]
        made = self._pool.begin(
            self._frame,
            boxes,
            votes=[seen.votes[column] for column in columns.tolist()],
            hidden=self._hidden(matching, seen),
            embeddings=seen.embeddings_of(columns),
            keypoints=seen.keypoints_of(columns),
        )
        if self._settings.motion == "velocity":
            self._motion.add(boxes)
        self._show(made, columns, seen)

    def _drop(self, rows: NDArray[np.bool_]) -> None:
        if rows.any():
            self._pool.keep(~rows)
            if self._settings.motion == "velocity":
                self._motion.keep(~rows)

    def _fill(self, row: int, column: int, seen: "_Seen") -> None:
        pool, points = self._pool, seen.keypoints_of(column)
        sightings = fill_gap(
            pool.identities[row],
            (int(pool.last[row]), self._frame),
            (pool.boxes[row], seen.boxes[column]),
            None if points is None or pool.keypoints is None else (pool.keypoints[row], points),
        )
        for frame, sighting in sightings:
            self._timeline.add(frame, sighting)

    def _show(self, identities: list[Identity], columns: Rows, seen: "_Seen") -> None:
        if not identities:
            return
        found = seen.detections
        self._timeline.add(
            self._frame,
            Sighting(
                identities=identities,
                boxes=found.boxes[columns],
                scores=found.scores[columns],
                keypoints=None if found.keypoints is None else found.keypoints[columns],
                keypoints_scores=None if found.keypoints_scores is None else found.keypoints_scores[columns],
                masks=None if found.masks is None else tuple(found.masks[column] for column in columns),
            ),
        )


class _Seen:
    """The detections of a frame, sorted into what may be matched when."""

    def __init__(self, detections: FrameDetections, settings: LinkSettings) -> None:
        everywhere = np.ones((len(detections), 1))
        detections, self.votes = settle_classes(detections, detections.boxes[:, None], everywhere, settings)
        self.detections = detections
        self.boxes = detections.boxes.astype(np.float64)
        scores = np.where(box_area(self.boxes) >= settings.min_area, detections.scores, -1)
        self.high = scores >= settings.high_score
        self.low = (scores >= settings.min_score) & ~self.high
        self.new = scores >= settings.new_score
        looks = detections.embeddings if settings.needs("appearance") else None
        points = detections.keypoints
        self._embeddings = None if looks is None else looks.astype(np.float64)
        self._keypoints = None if points is None else points.astype(np.float64)
        self.objects = Objects(
            boxes=self.boxes[:, None],
            visible=np.ones((len(self.boxes), 1)),
            embeddings=self._embeddings,
            keypoints=None if self._keypoints is None or not settings.needs_poses else self._keypoints[:, None],
        )

    def embeddings_of(self, columns: Rows) -> Array | None:
        return None if self._embeddings is None else self._embeddings[columns]

    def keypoints_of(self, columns: Rows | int) -> Array | None:
        return None if self._keypoints is None else self._keypoints[columns]
