"""Links tubes clip by clip: by their agreement on the frames that overlapping clips share.

Where clips see an object in the same frame, its boxes are merged (``Timeline``). A track that gets no tube, because the
object was hidden or missed, is looked for where its motion leads, and then around the place where it was last seen.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from res3d.structures import ClipDetections, FrameTracks
from res3d.tracking.costs import Array, Objects
from res3d.tracking.gaps import fill_gap
from res3d.tracking.matching import Matching, Rows
from res3d.tracking.mixed_cost import CostTerm, mixed_cost
from res3d.tracking.pool import TrackPool
from res3d.tracking.settings import LinkSettings
from res3d.tracking.timeline import Identity, Sighting, Timeline
from res3d.tracking.tubes import Tubes, Window


class TubeLinker:
    """Takes the tubes of a video clip by clip and gives tracked frames as soon as they are final.

    Clips come in the order of their first frames. Memory grows with the number of objects, the length of a clip and
    ``max_lost``, not with the length of the video.
    """

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._pool = TrackPool(settings)
        self._window = Window()
        self._timeline = Timeline(settings.visible_score)
        self._start = self._end = -1  # frames: the last clip's first, and the last of any
        self._near = (CostTerm("overlap", gate=1 - settings.low_overlap),)

    def push(self, clip: ClipDetections) -> list[FrameTracks]:
        """Add the next clip; gives the frames that no later one can change, in order.

        Raises:
            ValueError: a clip that starts no later than the one before, or tubes without what a cost needs.
        """
        start = int(clip.frames[0])
        if start <= self._start:
            raise ValueError(f"clips must come in order: one from frame {start} after one from {self._start}")
        self._start, self._end = start, max(self._end, int(clip.frames[-1]))
        self._timeline.open(self._end)
        tubes = Tubes(clip, self._settings)
        self._window.move(clip.frames)
        matching = self._match(tubes)
        rows, columns = matching.pairs
        self._go_on(rows, columns, tubes)
        self._begin(np.flatnonzero(tubes.new & matching.is_free), tubes)
        self._pool.decide(start)
        self._drop(self._pool.expired(start))
        return self._timeline.release(self._pool.undecided_from(start))

    def finish(self) -> list[FrameTracks]:
        """The rest, once the video is over: what is tentative now was too short."""
        self._pool.decide(None)
        return self._timeline.release(self._end + 1)

    def _match(self, tubes: Tubes) -> Matching:
        pool, settings = self._pool, self._settings
        matching = Matching(pool.labels, tubes.clip.labels, settings.assignment)
        overlapping = self._window.visible.max(axis=1, initial=0) > 0
        everyone = np.ones(len(pool), bool)
        first_seen = tubes.at_first_sight
        matching.stage(overlapping, tubes.high, self._cost(settings.costs, self._window_objects, tubes.objects))
        if settings.same_place:
            cost = self._cost(settings.same_place, self._window_objects, tubes.objects)
            matching.stage(overlapping, tubes.high, cost, any_class=True)
        matching.stage(overlapping, tubes.low, self._cost(self._near, self._window_objects, tubes.objects))
        matching.stage(everyone, tubes.high, self._cost(settings.costs, self._moved_objects, first_seen))
        return matching

    def _cost(
        self, terms: Sequence[CostTerm], tracks: Callable[[Rows], Objects], tubes: Objects
    ) -> Callable[[Rows, Rows], Array]:
        return lambda rows, columns: mixed_cost(terms, tracks(rows), tubes[columns])

    def _window_objects(self, rows: Rows) -> Objects:
        """Tracks as the clips before saw them in the frames of this one."""
        window, pool = self._window, self._pool
        return Objects(
            boxes=window.boxes[rows],
            visible=window.visible[rows],
            embeddings=None if pool.embeddings is None else pool.embeddings[rows],
            keypoints=None if window.keypoints is None else window.keypoints[rows],
        )

    def _moved_objects(self, rows: Rows) -> Objects:
        """Tracks that go on as they went, in the frames of this clip."""
        pool = self._pool
        unseen = self._window.frames - pool.last[rows, None]
        shift = self._window.velocity[rows, None] * unseen[..., None]
        boxes = pool.boxes[rows, None] + shift
        boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2])
        keypoints = None
        if pool.keypoints is not None and self._settings.needs_poses:
            keypoints = np.repeat(pool.keypoints[rows, None], shift.shape[1], axis=1)
            keypoints[..., :2] += ((shift[..., :2] + shift[..., 2:]) / 2)[:, :, None]
        return Objects(
            boxes=boxes,
            visible=np.ones(shift.shape[:2]),
            embeddings=None if pool.embeddings is None else pool.embeddings[rows],
            keypoints=keypoints,
        )

    def _go_on(self, rows: Rows, columns: Rows, tubes: Tubes) -> None:
        """Tracks at ``rows`` got the tubes at ``columns``."""
        pool = self._pool
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            self._fill(row, column, tubes)
        seen = (tubes.seen[columns] & (self._window.frames > pool.last[rows, None])).sum(axis=1)
        newest = tubes.last[columns] >= pool.last[rows]
        pool.go_on(
            rows,
            np.maximum(tubes.last[columns], pool.last[rows]),
            np.where(newest[:, None], tubes.last_boxes[columns], pool.boxes[rows]),
            votes=[tubes.votes[column] for column in columns.tolist()],
            seen=seen,
            embeddings=tubes.embeddings_of(columns),
            keypoints=None if tubes.last_keypoints is None else tubes.last_keypoints[columns],
        )
        self._window.see(rows, columns, tubes)
        self._show([pool.identities[row] for row in rows.tolist()], columns, tubes)

    def _begin(self, columns: Rows, tubes: Tubes) -> None:
        if not len(columns):
            return
        count = len(self._pool)
        made = self._pool.begin(
            self._start,
            tubes.last_boxes[columns],
            votes=[tubes.votes[column] for column in columns.tolist()],
            first_boxes=tubes.first_boxes[columns],
            last=tubes.last[columns],
            seen=tubes.seen[columns].sum(axis=1),
            embeddings=tubes.embeddings_of(columns),
            keypoints=None if tubes.last_keypoints is None else tubes.last_keypoints[columns],
        )
        self._window.add(len(made))
        self._window.see(np.arange(count, count + len(made)), columns, tubes)
        self._show(made, columns, tubes)

    def _drop(self, rows: NDArray[np.bool_]) -> None:
        if rows.any():
            self._pool.keep(~rows)
            self._window.keep(~rows)

    def _fill(self, row: int, column: int, tubes: Tubes) -> None:
        """Fill the frames between two tubes of a track, unless one says that the object was out of sight there."""
        pool, covered = self._pool, int(self._window.covered[row])
        gap = self._start - covered - 1
        if not 0 < gap <= self._settings.fill_gaps or pool.last[row] != covered or not tubes.seen[column, 0]:
            return
        points = None if tubes.first_keypoints is None else tubes.first_keypoints[column]
        sightings = fill_gap(
            pool.identities[row],
            (covered, self._start),
            (pool.boxes[row], tubes.first_boxes[column]),
            None if points is None or pool.keypoints is None else (pool.keypoints[row], points),
        )
        for frame, sighting in sightings:
            self._timeline.add(frame, sighting)

    def _show(self, identities: list[Identity], columns: Rows, tubes: Tubes) -> None:
        if not identities:
            return
        clip = tubes.clip
        for t, frame in enumerate(clip.frames.tolist()):
            self._timeline.add(
                frame,
                Sighting(
                    identities=identities,
                    boxes=clip.boxes[columns, t],
                    scores=clip.scores[columns],
                    visible=clip.visible[columns, t],
                    keypoints=None if clip.keypoints is None else clip.keypoints[columns, t],
                    keypoints_scores=None if clip.keypoints_scores is None else clip.keypoints_scores[columns, t],
                    masks=None if clip.masks is None else tuple(clip.masks[column][t] for column in columns),
                ),
            )
