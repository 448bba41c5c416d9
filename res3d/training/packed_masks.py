"""Detections and targets with masks that are compressed in memory."""

import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

MASKS = "masks"


class PackedMasks(Mapping[str, Tensor]):
    """The detections or the target of one clip. Masks are stored as compressed bits and unpacked at each access.

    Uncompressed masks of all validation clips would not fit into memory.

    Args:
        values: tensors on the CPU. ``masks`` can have any shape; they are bool or probabilities with threshold 0.5.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        self._values = {name: value for name, value in values.items() if name != MASKS}
        if MASKS in values:
            masks = values[MASKS] > 0.5
            self._shape = tuple(masks.shape)
            self._bits = zlib.compress(np.packbits(masks.numpy()).tobytes(), level=1)

    def __getitem__(self, name: str) -> Tensor:
        if name != MASKS or MASKS not in self._names:
            return self._values[name]
        count = int(np.prod(self._shape))
        bits = np.unpackbits(np.frombuffer(zlib.decompress(self._bits), np.uint8), count=count)
        return torch.from_numpy(bits.reshape(self._shape).view(np.bool_))

    def __contains__(self, name: object) -> bool:
        return name in self._names  # the inherited method would unpack the masks

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
