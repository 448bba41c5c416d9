"""Arrays out of whatever holds numbers: lists, NumPy arrays, tensors on any device."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def to_array(values: Any, dtype: DTypeLike) -> NDArray[Any]:
    """A NumPy array of ``dtype``; a tensor is detached and brought to the CPU. Not a copy where none is needed."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.dtype.is_floating_point:
            values = values.float()  # NumPy has no bfloat16
        values = values.numpy()
    return np.asarray(values, dtype)


def check_dtypes(value: Any, **dtypes: DTypeLike) -> None:
    """Check the types of a dataclass's array fields; those that are None are passed over.

    Raises:
        ValueError: a field of another type; the message names it.
    """
    for name, dtype in dtypes.items():
        array = getattr(value, name)
        if array is not None and array.dtype != dtype:
            raise ValueError(f"{type(value).__name__}.{name} must be {np.dtype(dtype)}, not {array.dtype}")
