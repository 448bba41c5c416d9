"""torchvision's image ResNets with fewer channels: independent references that are quick to build and run."""

from functools import partial
from unittest.mock import patch

from torch import nn
from torchvision.models import resnet


class ThinResNet(resnet.ResNet):
    """torchvision's ``ResNet`` with channels and groups divided by ``divisor``; the channels per group are the same."""

    def __init__(
        self, *args, divisor: int, num_classes: int = 1000, groups: int = 1, width_per_group: int = 64, **options
    ) -> None:
        self.divisor = divisor
        if groups > 1:
            options |= {"groups": groups // divisor, "width_per_group": width_per_group * divisor}
        else:
            options |= {"width_per_group": width_per_group}
        super().__init__(*args, num_classes=num_classes, **options)
        self.fc = nn.Linear(self.fc.in_features // divisor, num_classes)

    def _make_layer(self, block, planes, *args, **options) -> nn.Sequential:
        if planes == 64:  # the first stage: the stem, which is built before it, is replaced
            self.inplanes = 64 // self.divisor
            self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
        return super()._make_layer(block, planes // self.divisor, *args, **options)


def thin_image_network(name: str, *, divisor: int = 8, **options) -> nn.Module:
    """Return torchvision's network ``name`` with 1/``divisor`` of the channels and random weights."""
    with patch.object(resnet, "ResNet", partial(ThinResNet, divisor=divisor)):
        return getattr(resnet, name)(**options)
