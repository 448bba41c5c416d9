"""CIFAR-10 images as clips of one frame."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.datasets import CIFAR10

from res3d.data.dataset_info import DatasetInfo, name_categories
from res3d.data.fingerprint import hash_files


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar10Clips:
    """CIFAR-10 images [3, 1, H, W] RGB in 0..1 and their classes 0 to 9, from the files of torchvision's ``CIFAR10``.

    torchvision checks the MD5 checksum of every file before it reads the file.

    Raises:
        FileNotFoundError: a file is missing, or its checksum is wrong.
        ValueError: a side below 1.
    """

    task: ClassVar[str] = "classifier"

    folder: str
    """Folder that contains ``cifar-10-batches-py``; nothing is downloaded."""
    part: Literal["train", "test"] = "train"
    """The 50,000 training images, or the 10,000 test images."""
    side: int | None = None
    """Height and width in pixels that images are resized to; None keeps 32."""
    _images: CIFAR10 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise ValueError(f"side must be ≥ 1 pixel, not {self.side}")
        try:
            images = CIFAR10(self.folder, train=self.part == "train")
        except RuntimeError:
            raise FileNotFoundError(
                f"{self.folder}: {CIFAR10.base_folder} is missing, or its files have the wrong MD5 checksums; "
                f"torchvision.datasets.CIFAR10({self.folder!r}, download=True) downloads them"
            ) from None
        object.__setattr__(self, "_images", images)

    @property
    def info(self) -> DatasetInfo:
        """The ten classes and their names."""
        names = self._images.classes
        labels = set(self._images.targets)
        empty = tuple(name for label, name in enumerate(names) if label not in labels)
        return DatasetInfo(num_classes=len(names), categories=name_categories(names), empty=empty)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self._images.data[number]).permute(2, 0, 1).float() / 255
        if self.side is not None:
            size = (self.side, self.side)
            image = F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        return image[:, None], int(self._images.targets[number])

    def fingerprint(self) -> str:
        """Return a hash of the settings; the checksums guarantee the content of the files."""
        return hash_files([], self)
