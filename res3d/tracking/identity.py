"""Track hypotheses."""

from collections.abc import Iterable

Votes = list[tuple[int, float]]
"""(class, score) of the detections of one object."""


class Identity:
    """A track hypothesis. It gets an id when it is confirmed; it may be dropped, or merged into an earlier identity.

    Its class is the one with the highest sum of detection scores.
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
        """From 1; None while it is not confirmed."""
        return self._id if self._merged_into is None else self._merged_into.id

    @property
    def label(self) -> int:
        """Class with the highest sum of scores so far; of equal ones the first."""
        return self._label if self._merged_into is None else self._merged_into.label

    @property
    def first_label(self) -> int:
        """Class of its first detection."""
        return next(iter(self._scores))

    def vote(self, votes: Iterable[tuple[int, float]]) -> None:
        """Add the scores of detections, as (class, score)."""
        if self._merged_into is not None:
            self._merged_into.vote(votes)
            return
        scores = self._scores
        for label, score in votes:
            scores[label] = scores.get(label, 0.0) + score
        self._label = max(scores, key=scores.__getitem__) if len(scores) > 1 else label

    def confirm(self, number: int) -> None:
        """Give it an id of its own."""
        self._id = number

    def merge_into(self, other: "Identity") -> None:
        """Make it the same object as ``other``, which gets its votes."""
        other.vote(self._scores.items())
        self._merged_into = other
