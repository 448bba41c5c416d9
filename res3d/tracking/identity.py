"""Track hypotheses."""

from collections.abc import Iterable

Votes = list[tuple[int, float]]
"""(class, score) of the detections of one object."""


class Identity:
    """A track hypothesis. It gets an id when it is confirmed; it may be dropped, or merged into an earlier identity.

    Args:
        votes: (class, score) of the detections that start the track, at least one.
    """

    __slots__ = ("_id", "_label", "_merged_into", "_scores")

    def __init__(self, votes: Iterable[tuple[int, float]]) -> None:
        self._id: int | None = None
        self._merged_into: Identity | None = None
        self._scores: dict[int, float] = {}
        self._label = 0
        self.vote(votes)

    @property
    def id(self) -> int | None:
        """Track id, from 1; None while the track is tentative."""
        return self._id if self._merged_into is None else self._merged_into.id

    @property
    def label(self) -> int:
        """Class with the highest sum of detection scores so far; of equal sums, the class that was voted for first."""
        return self._label if self._merged_into is None else self._merged_into.label

    @property
    def first_label(self) -> int:
        """Class of the first vote."""
        return next(iter(self._scores))

    def vote(self, votes: Iterable[tuple[int, float]]) -> None:
        """Add the (class, score) of detections. A merged track passes them on to the track that it was merged into."""
        if self._merged_into is not None:
            self._merged_into.vote(votes)
            return
        scores = self._scores
        for label, score in votes:
            scores[label] = scores.get(label, 0.0) + score
        self._label = max(scores, key=scores.__getitem__) if len(scores) > 1 else label

    def confirm(self, number: int) -> None:
        """Set the id of the track to ``number``."""
        self._id = number

    def merge_into(self, other: "Identity") -> None:
        """Merge this track into ``other``, which receives its votes; both have the id and class of ``other`` then."""
        other.vote(self._scores.items())
        self._merged_into = other
