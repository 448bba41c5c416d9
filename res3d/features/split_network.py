"""A network in two parts: stages that run once per frame, and stages that run once per clip."""

import threading
from dataclasses import dataclass, field

import torch
from torch import Tensor

from res3d.backbone import ClipClassifier
from res3d.inference import FusedResNet3d, OptimizedModel


@dataclass(frozen=True, kw_only=True)
class SplitNetwork:
    """An optimized model, split behind its leading frame-wise stages.

    ``clip_maps`` of the stacked results of ``frame_maps`` is the map of the last stage of ``rest``.
    """

    model: OptimizedModel
    """The backbone or classifier."""
    shared: tuple[str, ...]
    """Leading stages that run once per frame. All are frame-wise. () if all stages run once per clip."""
    rest: tuple[str, ...]
    """The stages after ``shared``, which run once per clip."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Lock for the network, which computes for one video at a time."""

    @property
    def _backbone(self) -> FusedResNet3d:
        network = self.model.network
        backbone = network.backbone if isinstance(network, ClipClassifier) else network
        assert isinstance(backbone, FusedResNet3d)
        return backbone

    def frame_maps(self, frames: Tensor) -> Tensor:
        """Run the stages of ``shared`` on preprocessed frames: [m, C, H, W] -> [m, C', h, w]."""
        if not self.shared:
            return frames
        return self.model.run(self._backbone.run_stages, frames[:, :, None], self.shared)[:, :, 0]

    def clip_maps(self, maps: Tensor) -> Tensor:
        """Run the stages of ``rest`` on clips: [N, C', T, h, w] -> [N, C'', T', h', w'], at least float32."""
        result = self.model.run(self._backbone.run_stages, maps, self.rest)
        return result.to(torch.promote_types(result.dtype, torch.float32))

    def logits(self, maps: Tensor) -> Tensor:
        """Return the logits of a classifier for maps of its last stage: [N, C'', T', h', w'] -> [N, classes]."""
        classifier = self.model.network
        assert isinstance(classifier, ClipClassifier)
        return self.model.run(classifier.classify_maps, maps).float()
