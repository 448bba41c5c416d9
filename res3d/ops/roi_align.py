"""RoIAlign for tubes: each frame's box is pooled from that frame's map (He et al. 2017; Girdhar et al. 2018)."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torchvision.ops import roi_align

from res3d.ops.tubes import tube_area

SAMPLES = 2  # sampling points along each side of a bin
CANONICAL_SIZE, CANONICAL_LEVEL = 224, 4  # Lin et al. 2017: a box of 224 pixels is pooled from the level of stride 2⁴


class TubePooler:
    """RoIAlign of tubes from a feature pyramid; the mean area of a tube selects its level.

    Shape letters: N clips, R tubes, T frames.

    Args:
        maps: [N, C, T, h, w] of each level, finest first.
        strides: pixels per position of each level.
        offset: pixel convention of the tubes, see ``res3d.ops.tubes``.
    """

    def __init__(self, maps: Sequence[Tensor], strides: Sequence[int], *, offset: int = 0) -> None:
        self.maps = tuple(maps)
        self.strides = tuple(strides)
        self.offset = offset

    @cached_property
    def _frames(self) -> list[Tensor]:
        """Maps of single frames, [N · T, C, h, w] of each level, computed once for all heads.

        At least float32, as RoIs have the dtype of the maps: half precision would round coordinates and the indices of
        frames.
        """
        dtype = torch.promote_types(self.maps[0].dtype, torch.float32)
        return [level.transpose(1, 2).flatten(0, 1).to(dtype) for level in self.maps]

    def __call__(self, tubes: Sequence[Tensor], size: int) -> Tensor:
        """Pool the tubes [R, T, 4] of each clip: [R of all clips, C, T, size, size], contiguous frame by frame.

        Args:
            tubes: xyxy pixels [R, T, 4] of each of the N clips.
            size: bins along each side of a pooled box.
        """
        num_frames = self.maps[0].shape[2]
        clips = torch.cat([torch.full((len(t),), n) for n, t in enumerate(tubes)]).to(tubes[0].device)
        flat = torch.cat(list(tubes))
        images = clips * num_frames + torch.arange(num_frames, device=clips.device)[:, None]
        # [T, R, 5], frame by frame: all boxes of a frame read the same map.
        flat = flat.to(self._frames[0].dtype)
        rois = torch.cat([images[..., None].to(flat.dtype), flat.transpose(0, 1)], dim=2)
        return self._pool(rois, self.levels(flat), size).permute(1, 2, 0, 3, 4)

    def _pool(self, rois: Tensor, levels: Tensor, size: int) -> Tensor:
        """Pool RoIs [T, R, 5] (index of the image, xyxy) from levels [R]: [T, R, C, size, size]."""
        members = [torch.where(levels == level)[0] for level in range(len(self.maps))]
        parts = [self._pool_level(level, rois[:, m], size) for level, m in enumerate(members) if len(m)]
        if len(parts) < 2:
            return parts[0] if parts else self._pool_level(0, rois, size)
        return torch.cat(parts, dim=1)[:, torch.cat(members).argsort()]

    def _pool_level(self, level: int, rois: Tensor, size: int) -> Tensor:
        """Pool RoIs [T, R, 5] from one level: [T, R, C, size, size]."""
        pooled: Tensor = roi_align(
            self._frames[level], rois.flatten(0, 1), size, 1.0 / self.strides[level], sampling_ratio=SAMPLES
        )
        return torch.unflatten(pooled, 0, rois.shape[:2]).to(self.maps[0].dtype)

    def levels(self, tubes: Tensor) -> Tensor:
        """Return the index of the level that each tube is pooled from: [R, T, 4] -> int64 [R].

        This is the level with the largest stride up to 2^(4 + floor(log2(side / 224))), where side is the square root
        of the tube's mean area (Lin et al. 2017), or the finest level if all strides are larger.
        """
        side = tube_area(tubes, offset=self.offset).sqrt()
        level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE) + 1e-6)
        powers = torch.tensor([math.log2(stride) for stride in self.strides], device=tubes.device)
        index = torch.searchsorted(powers, level.to(powers.dtype), right=True) - 1
        return index.clamp(min=0)
