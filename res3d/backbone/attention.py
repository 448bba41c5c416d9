"""Attention modules, which rescale a block's branch before the sum. A new module is one entry of ``ATTENTIONS``."""

from collections.abc import Callable

from torch import Tensor, nn

REDUCTION = 16  # Hu et al. 2018: input channels per channel of the squeezed layer


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): each channel is multiplied by a gate in (0, 1).

    Two 1×1×1 convolutions compute the gates from the averages of all channels over T, H and W.

    Shape: [N, C, T, H, W] -> [N, C, T, H, W].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv3d(channels, max(1, channels // REDUCTION), 1)
        self.excite = nn.Conv3d(self.squeeze.out_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.excite(self.squeeze(x.mean(dim=(2, 3, 4), keepdim=True)).relu()).sigmoid()
        return x * gate


ATTENTIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "squeeze_excite": SqueezeExcitation,
}
"""Constructor by name, called with the channels of the branch."""
