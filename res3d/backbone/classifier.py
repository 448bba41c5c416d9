"""A clip classifier on top of a backbone."""

from collections.abc import Iterable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone.resnet import ResNet3d, initialize
from res3d.backbone.spec import HeadSpec
from res3d.clips import ClipSpec


class ClipClassifier(nn.Module):
    """Logits for clips: the last map pooled over time and space as ``spec.head`` says, dropout, one linear layer.

    Shape: [N, C, T, H, W] float -> [N, num_classes].

    Attributes:
        trained_on: the clips that it was trained on; None if unknown. Saved in weight files.
        categories: names of the logits; empty if unknown. Saved in weight files.

    Raises:
        ValueError: ``num_classes`` below 1, ``dropout`` outside [0, 1), or another number of ``categories`` than
            ``num_classes`` or 0.
    """

    def __init__(
        self,
        backbone: ResNet3d,
        num_classes: int,
        *,
        dropout: float = 0.0,
        trained_on: ClipSpec | None = None,
        categories: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"num_classes must be a whole number ≥ 1, not {num_classes!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {dropout!r}")
        if categories and len(categories) != num_classes:
            raise ValueError(f"categories must name {num_classes} classes, or none, not {len(categories)}")
        self.backbone = backbone
        self.trained_on = trained_on
        self.categories = tuple(categories)
        self.dropout = nn.Dropout(dropout)
        channels = backbone.feature_info[backbone.spec.stage_names[-1]].channels
        self.fc = nn.Linear(backbone.spec.head.inputs(channels), num_classes)
        initialize(self.fc)

    @property
    def num_classes(self) -> int:
        return self.fc.out_features

    def set_norm_eps(self, eps: float) -> None:
        """Give every norm this eps, in the spec too."""
        self.backbone.set_norm_eps(eps)

    def dense_parts(self) -> Iterable[nn.Module]:
        """The modules that compute maps from whole clips, see ``ResNet3d``."""
        return self.backbone.dense_parts()

    def forward(self, clip: Tensor) -> Tensor:
        """Logits [N, num_classes] of clips [N, C, T, H, W]."""
        return self.resume(self.backbone(clip))

    def resume(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The logits that ``forward`` gives, computed from maps of the backbone: only the last of them is used.

        Args:
            maps: [N, C', T', H', W'] by stage.

        Raises:
            ValueError: no map, or an unknown stage.
        """
        return self.classify_maps(self.backbone.last_map(maps))

    def classify_maps(self, features: Tensor) -> Tensor:
        """Logits [N, num_classes] of the backbone's last maps [N, C, T', H', W']."""
        pooled = pool_head(features, self.backbone.spec.head, self.backbone.spec.name)
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits


def pool_head(features: Tensor, head: HeadSpec, name: str) -> Tensor:
    """Pool a map for the linear layer of a classifier: [N, C, T, H, W] -> [N, head.inputs(C)].

    Raises:
        ValueError: a map smaller than the head's window, or of another number of windows than its positions; ``name``
            is what the message calls the network.
    """
    if head.window is None:
        features = features.mean((2, 3, 4), True) if head.pool == "avg" else features.amax((2, 3, 4), True)
    else:
        if any(size < least for size, least in zip(features.shape[2:], head.window, strict=True)):
            raise ValueError(
                f"the classifier of {name} pools windows of {head.window} (T, H, W) positions, "
                f"and this clip's last map has {tuple(features.shape[2:])}"
            )
        pool = F.avg_pool3d if head.pool == "avg" else F.max_pool3d
        features = pool(features, head.window, head.stride)
    if head.positions is None:
        return features.mean(dim=(2, 3, 4))
    if tuple(features.shape[2:]) != head.positions:
        raise ValueError(
            f"the classifier of {name} takes {head.positions} (T, H, W) pooled positions, "
            f"and this clip has {tuple(features.shape[2:])}"
        )
    return features.flatten(1)
