"""Arrays with one row per live track."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from res3d.tracking.objects import Array, Mask


class TrackArrays:
    """Base of classes that hold arrays with one row per live track, in the order in which the tracks began."""

    arrays: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes with arrays, at least one."""

    fields: dict[str, Array]
    """Further arrays, named like the field of detections that they hold; zeros in rows that lack it."""

    def __len__(self) -> int:
        return len(getattr(self, self.arrays[0]))

    def append(self, count: int, fields: Mapping[str, Array], **arrays: NDArray[Any]) -> None:
        """Add ``count`` rows; attributes and fields that are not given get zeros."""
        for name in dict.fromkeys((*self.fields, *fields)):
            tail = (fields[name] if name in fields else self.fields[name]).shape[1:]
            held = self.fields.get(name, np.zeros((len(self), *tail)))
            self.fields[name] = np.concatenate([held, fields.get(name, np.zeros((count, *tail)))])
        for name in self.arrays:
            held = getattr(self, name)
            new = arrays[name] if name in arrays else np.zeros((count, *held.shape[1:]), held.dtype)
            setattr(self, name, np.concatenate([held, new]))

    def keep(self, rows: Mask) -> None:
        """Drop all rows but those at ``rows`` [N]."""
        for name in self.arrays:
            setattr(self, name, getattr(self, name)[rows])
        self.fields = {name: values[rows] for name, values in self.fields.items()}
