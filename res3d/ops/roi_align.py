"""Features of tubes: RoIAlign of each frame's box in that frame's map (He et al. 2017; Girdhar et al. 2018)."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torchvision.ops import roi_align

from res3d.ops.tubes import tube_area

SAMPLES = 2  # a side, of each bin
CANONICAL_SIZE, CANONICAL_LEVEL = 224, 4  # Lin et al. 2017: a box of 224 pixels belongs to the level of stride 2⁴


class TubePooler:
    """Pools tubes from the levels of one batch of feature maps, each tube from the level of its mean area.

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
        """[N · T, C, h, w] of each level, made once for all heads.

        In float32 at least, as RoIs are: half precision would round places in a map, and even the numbers of frames.
        """
        whole = torch.promote_types(self.maps[0].dtype, torch.float32)
        return [level.transpose(1, 2).flatten(0, 1).to(whole) for level in self.maps]

    def __call__(self, tubes: Sequence[Tensor], size: int) -> Tensor:
        """[R, T, 4] of each clip -> [R of all clips, C, T, size, size], in memory frame after frame."""
        frames = self.maps[0].shape[2]
        rows = torch.cat([torch.full((len(t),), n) for n, t in enumerate(tubes)]).to(tubes[0].device)
        flat = torch.cat(list(tubes))
        images = rows * frames + torch.arange(frames, device=rows.device)[:, None]
        # [T, R, 5]: frame after frame, as all of a frame's boxes read the same map.
        flat = flat.to(self._frames[0].dtype)
        rois = torch.cat([images[..., None].to(flat.dtype), flat.transpose(0, 1)], dim=2)
        return self._pool(rois, self.levels(flat), size).permute(1, 2, 0, 3, 4)

    def _pool(self, rois: Tensor, levels: Tensor, size: int) -> Tensor:
        """[T, R, 5] and [R] -> [T, R, C, size, size]."""
        members = [torch.where(levels == level)[0] for level in range(len(self.maps))]
        parts = [self._pool_level(level, rois[:, m], size) for level, m in enumerate(members) if len(m)]
        if len(parts) < 2:
            return parts[0] if parts else self._pool_level(0, rois, size)
        return torch.cat(parts, dim=1)[:, torch.cat(members).argsort()]

    def _pool_level(self, level: int, rois: Tensor, size: int) -> Tensor:
        pooled: Tensor = roi_align(
            self._frames[level], rois.flatten(0, 1), size, 1.0 / self.strides[level], sampling_ratio=SAMPLES
        )
        return torch.unflatten(pooled, 0, rois.shape[:2]).to(self.maps[0].dtype)

    def levels(self, tubes: Tensor) -> Tensor:
        """[R, T, 4] -> [R]: which level each tube is pooled from."""
        side = tube_area(tubes, offset=self.offset).sqrt()
        level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE) + 1e-6)
        powers = torch.tensor([math.log2(stride) for stride in self.strides], device=tubes.device)
        index = torch.searchsorted(powers, level.to(powers.dtype), right=True) - 1
        return index.clamp(min=0)
