import pytest
import torch
from torch import nn

from res3d.backbone.windows import Window, receptive_field

WINDOWS = [
    Window((1, 1, 1), (1, 1, 1), (0, 0, 0)),
    Window((3, 3, 1), (2, 1, 1), (1, 0, 0)),
    Window((1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 2, 1)),
    Window((3, 5, 3), (1, 3, 2), (0, 2, 0), (2, 1, 3)),
]


def conv_of(window: Window) -> nn.Conv3d:
    return nn.Conv3d(1, 1, window.kernel, window.stride, window.padding, window.dilation).double()


def test_smallest_input_of_a_window():
    window = Window((1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 2, 1))
    assert window.smallest_input((1, 1, 4)) == (1, 3, 7)


@pytest.mark.parametrize("window", WINDOWS)
def test_smallest_input_is_the_smallest_that_has_the_output(window):
    size = window.smallest_input((2, 3, 4))
    with torch.device("meta"):
        conv = nn.Conv3d(1, 1, window.kernel, window.stride, window.padding, window.dilation)
        assert all(n >= least for n, least in zip(conv(torch.empty(1, 1, *size)).shape[2:], (2, 3, 4), strict=True))
        for axis, least in enumerate((2, 3, 4)):
            smaller = [n - (i == axis) for i, n in enumerate(size)]
            assert conv(torch.empty(1, 1, *smaller)).shape[2 + axis] == least - 1


@pytest.mark.parametrize("window", WINDOWS)
def test_output_frames_equal_those_of_a_convolution(window):
    conv = conv_of(window)
    for frames in range(1, 12):
        expected = window.output_frames(frames)
        clip = torch.zeros(1, 1, frames, 12, 12, dtype=torch.float64)
        if expected < 1:
            with pytest.raises(RuntimeError):
                conv(clip)
        else:
            assert conv(clip).shape[2] == expected


def test_receptive_field_is_the_extent_of_the_gradient():
    layers = nn.Sequential(*map(conv_of, WINDOWS))
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    clip = torch.zeros(1, 1, 24, 40, 40, dtype=torch.float64, requires_grad=True)
    y = layers(clip)
    t, h, w = (n // 2 for n in y.shape[2:])
    y[0, 0, t, h, w].backward()
    positions = clip.grad[0, 0].nonzero()
    assert tuple((positions.amax(0) - positions.amin(0) + 1).tolist()) == receptive_field(WINDOWS)


def test_the_receptive_field_of_no_layers_is_one_position():
    assert receptive_field([]) == (1, 1, 1)
