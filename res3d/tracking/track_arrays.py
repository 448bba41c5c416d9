"""Base class of arrays with one row per live track."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from res3d.tracking.objects import Array, Mask


class TrackArrays:
    """Base class for arrays with one row per live track, in the order in which the tracks started."""

    arrays: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that are such arrays, at least one."""

    fields: dict[str, Array]
    """More such arrays, by the name of the field of detections that they store; 0 in rows without a value."""

    def __len__(self) -> int:
        return len(getattr(self, self.arrays[0]))

    def append(self, count: int, fields: Mapping[str, Array], **arrays: NDArray[Any]) -> None:
        """Add rows.

        Args:
            count: number of new rows.
            fields: values [count, ...] of ``self.fields`` by name; new names get zeros in the old rows.
            arrays: values [count, ...] of the attributes in ``self.arrays``.

        Attributes and fields without new values get zeros in the new rows.
        """
        for name in dict.fromkeys((*self.fields, *fields)):
            tail = (fields[name] if name in fields else self.fields[name]).shape[1:]
            old = self.fields.get(name, np.zeros((len(self), *tail)))
            self.fields[name] = np.concatenate([old, fields.get(name, np.zeros((count, *tail)))])
        for name in self.arrays:
            old = getattr(self, name)
            new = arrays[name] if name in arrays else np.zeros((count, *old.shape[1:]), old.dtype)
            setattr(self, name, np.concatenate([old, new]))

    def keep(self, rows: Mask) -> None:
        """Drop all rows except those where the mask ``rows`` [N] is True."""
        for name in self.arrays:
            setattr(self, name, getattr(self, name)[rows])
        self.fields = {name: values[rows] for name, values in self.fields.items()}
