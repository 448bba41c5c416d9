"""Norm layers with random parameters and statistics."""

from torch import nn


def random_norm(channels: int) -> nn.BatchNorm3d:
    norm = nn.BatchNorm3d(channels, eps=1e-3).eval()
    for values in (norm.running_mean, norm.bias.data):
        values.normal_()
    for values in (norm.running_var, norm.weight.data):
        values.uniform_(0.5, 2)
    return norm
