"""A network in two parts: the stages that see one frame at a time, and those that see a clip."""

import threading
from dataclasses import dataclass, field

import torch
from torch import Tensor

from res3d.backbone import ClipClassifier
from res3d.inference import FusedResNet3d, OptimizedModel


@dataclass(frozen=True, kw_only=True)
class SplitNetwork:
    """``clip_maps(frame_maps(frames))`` is the map of the last stage that runs, however frames make clips."""

    model: OptimizedModel
    """A backbone or classifier."""
    shared: tuple[str, ...]
    """Its leading stages that run once per frame, all of them frame-wise; empty if frames run with their clip."""
    rest: tuple[str, ...]
    """The stages after them, which run once per clip."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Held by the run of one video while the network computes for it."""

    @property
    def _backbone(self) -> FusedResNet3d:
        network = self.model.network
        backbone = network.backbone if isinstance(network, ClipClassifier) else network
        assert isinstance(backbone, FusedResNet3d)
        return backbone

    def frame_maps(self, frames: Tensor) -> Tensor:
        """[m, C, H, W] preprocessed -> [m, C', h, w]."""
        if not self.shared:
            return frames
        return self.model.run(self._backbone.run_stages, frames[:, :, None], self.shared)[:, :, 0]

    def clip_maps(self, maps: Tensor) -> Tensor:
        """[N, C', T, h, w] -> [N, C'', T', h', w'], float32 at least."""
        result = self.model.run(self._backbone.run_stages, maps, self.rest)
        return result.to(torch.promote_types(result.dtype, torch.float32))

    def logits(self, maps: Tensor) -> Tensor:
        """[N, C'', T', h', w'] of the last stage -> [N, classes] of a classifier."""
        classifier = self.model.network
        assert isinstance(classifier, ClipClassifier)
        return self.model.run(classifier.classify_maps, maps).float()
