"""Kinds of attention, which rescale a block's branch before the sum. A new kind is one entry of the table."""

from collections.abc import Callable

from torch import Tensor, nn

REDUCTION = 16  # Hu et al. 2018: channels per channel of the bottleneck


class SqueezeExcitation(nn.Module):
    """Each channel times a gate in (0, 1) that is computed from the averages of all channels (Hu et al. 2018).

    Shape: [N, C, T, H, W] -> the same; the averages are over T, H and W.
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
