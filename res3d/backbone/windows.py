"""Windows of convolutions and pools along (t, y, x), for the computation of output sizes and receptive fields."""

from collections.abc import Iterable
from typing import NamedTuple

from res3d.backbone.convs import ONE, Size3


class Window(NamedTuple):
    """Window of one convolution or pool along (t, y, x)."""

    kernel: Size3
    stride: Size3
    padding: Size3
    dilation: Size3 = ONE

    def smallest_input(self, output: Size3) -> Size3:
        """Return the smallest input (t, y, x) that has at least ``output`` output positions along each axis."""
        axes = zip(output, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        t, y, x = (max(1, (n - 1) * s + d * (k - 1) + 1 - 2 * p) for n, k, s, p, d in axes)
        return t, y, x

    def output_frames(self, frames: int) -> int:
        """Return the number of output positions in time for ``frames`` input frames; zero or negative for too few."""
        width = self.dilation[0] * (self.kernel[0] - 1) + 1
        return (frames + 2 * self.padding[0] - width) // self.stride[0] + 1


def receptive_field(windows: Iterable[Window]) -> Size3:
    """Return the (frames, rows, columns) of the input that one output position of consecutive layers depends on."""
    field, jump = [1, 1, 1], [1, 1, 1]
    for window in windows:
        for axis in range(3):
            field[axis] += (window.kernel[axis] - 1) * window.dilation[axis] * jump[axis]
            jump[axis] *= window.stride[axis]
    return field[0], field[1], field[2]
