"""A clip classifier on top of a backbone."""

from collections.abc import Iterable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone.resnet import ResNet3d, initialize
from res3d.backbone.spec import HeadSpec
from res3d.clips import ClipSpec


class ClipClassifier(nn.Module):
    """Backbone and classifier head: the last map is pooled according to ``spec.head``, then dropout and a linear layer.

    Shape: [N, C, T, H, W] float -> logits [N, num_classes].

    Args:
        backbone: the network that computes the last map.
        num_classes: number of logits.
        dropout: probability that an input of the linear layer is zeroed in training.
        trained_on: the clips that the model was trained on; None if unknown. Saved in weight files.
        categories: names of the classes in the order of the logits; empty if unknown. Saved in weight files.

    Raises:
        ValueError: ``num_classes`` below 1, ``dropout`` outside [0, 1), or ``categories`` that are neither empty nor
            ``num_classes`` names.
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
            raise ValueError(f"categories must be empty or name all {num_classes} classes, not {len(categories)}")
        self.backbone = backbone
        self.trained_on = trained_on
        self.categories = tuple(categories)
        self.dropout = nn.Dropout(dropout)
        channels = backbone.feature_info[backbone.spec.stage_names[-1]].channels
        self.fc = nn.Linear(backbone.spec.head.inputs(channels), num_classes)
        initialize(self.fc)

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.fc.out_features

    def set_norm_eps(self, eps: float) -> None:
        """Set the eps of every norm, in the modules and in the spec."""
        self.backbone.set_norm_eps(eps)

    def dense_parts(self) -> Iterable[nn.Module]:
        """Return the modules that compute maps from whole clips: the backbone."""
        return self.backbone.dense_parts()

    def forward(self, clip: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of clips [N, C, T, H, W]."""
        return self.resume(self.backbone(clip))

    def resume(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return the logits that ``forward`` returns, computed from maps of the backbone.

        Args:
            maps: [N, C', T', H', W'] by stage; only the map of the deepest stage is used.

        Raises:
            ValueError: no map, an unknown stage, or a map with a wrong number of channels.
        """
        return self.classify_maps(self.backbone.last_map(maps))

    def classify_maps(self, features: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of maps [N, C, T', H', W'] of the backbone's last stage."""
        pooled = pool_head(features, self.backbone.spec.head, self.backbone.spec.name)
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits


def pool_head(features: Tensor, head: HeadSpec, name: str) -> Tensor:
    """Pool a map for the linear layer of a classifier: [N, C, T, H, W] -> [N, head.inputs(C)].

    Args:
        features: map of the last stage.
        head: window and positions of the pooling.
        name: name of the network, for error messages.

    Raises:
        ValueError: a map smaller than the head's window, or one whose number of windows differs from the head's
            positions.
    """
    if head.window is None:
        features = features.mean((2, 3, 4), True) if head.pool == "avg" else features.amax((2, 3, 4), True)
    else:
        if any(size < least for size, least in zip(features.shape[2:], head.window, strict=True)):
            raise ValueError(
                f"the classifier of {name} pools windows of {head.window} (T, H, W) positions, "
                f"but this clip's last map has {tuple(features.shape[2:])}"
            )
        pool = F.avg_pool3d if head.pool == "avg" else F.max_pool3d
        features = pool(features, head.window, head.stride)
    if head.positions is None:
        return features.mean(dim=(2, 3, 4))
    if tuple(features.shape[2:]) != head.positions:
        raise ValueError(
            f"the classifier of {name} takes {head.positions} (T, H, W) pooled positions, "
            f"but this clip has {tuple(features.shape[2:])}"
        )
    return features.flatten(1)
