"""The pictures of CIFAR-10 as clips of one frame."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.datasets import CIFAR10

from res3d.data.dataset_info import DatasetInfo, named
from res3d.data.fingerprint import hash_files


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar10Clips:
    """Pictures [3, 1, H, W] in 0..1 and their classes, from a folder as torchvision's ``CIFAR10`` has it.

    torchvision checks the MD5 sum of every file before it reads one.

    Raises:
        FileNotFoundError: files that are missing or whose sums are wrong.
        ValueError: a side below 1.
    """

    task: ClassVar[str] = "classifier"

    folder: str
    """Folder that contains ``cifar-10-batches-py``; nothing is downloaded."""
    part: Literal["train", "test"] = "train"
    """The 50,000 pictures to train on, or the 10,000 others."""
    side: int | None = None
    """Pixels that both sides are resized to; None keeps 32."""
    _pictures: CIFAR10 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise ValueError(f"side must be ≥ 1 pixel, not {self.side}")
        try:
            pictures = CIFAR10(self.folder, train=self.part == "train")
        except RuntimeError:
            raise FileNotFoundError(
                f"{self.folder}: has no {CIFAR10.base_folder}, or its files are not CIFAR-10's (by their MD5 sums); "
                f"torchvision.datasets.CIFAR10({self.folder!r}, download=True) fetches them"
            ) from None
        object.__setattr__(self, "_pictures", pictures)

    @property
    def info(self) -> DatasetInfo:
        """The ten classes."""
        names = self._pictures.classes
        held = set(self._pictures.targets)
        empty = tuple(name for label, name in enumerate(names) if label not in held)
        return DatasetInfo(num_classes=len(names), categories=named(names), empty=empty)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        picture = torch.from_numpy(self._pictures.data[number]).permute(2, 0, 1).float() / 255
        if self.side is not None:
            size = (self.side, self.side)
            picture = F.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        return picture[:, None], int(self._pictures.targets[number])

    def fingerprint(self) -> str:
        """Return a hash of the settings alone; the files were checked by their sums."""
        return hash_files([], self)
