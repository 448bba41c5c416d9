"""Folding of norms into convolutions."""

import torch
from helpers.norms import random_norm
from torch import nn

from res3d.backbone import FrozenBatchNorm3d
from res3d.inference.fold import fold_norm, is_fixed_norm


def test_fold_norm_is_exact_with_and_without_scale_and_bias():
    weight, bias, x = torch.randn(8, 4, 1, 1, 1).double(), torch.randn(8).double(), torch.randn(1, 4, 2, 3, 3).double()
    for norm in (random_norm(8).double(), nn.BatchNorm3d(8, affine=False).double().eval()):
        for b in (bias, None):
            expected = norm(nn.functional.conv3d(x, weight, b))
            got = nn.functional.conv3d(x, *fold_norm(weight, b, norm))
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_norms_that_depend_on_the_input_are_not_fixed():
    assert is_fixed_norm(random_norm(8))
    assert not is_fixed_norm(nn.GroupNorm(2, 8))
    assert not is_fixed_norm(nn.BatchNorm3d(8, track_running_stats=False))
    assert is_fixed_norm(FrozenBatchNorm3d(8, eps=1e-5))
    assert not is_fixed_norm(nn.Identity())


def test_a_folded_convolution_is_exact_at_padded_borders():
    conv, norm = nn.Conv3d(2, 4, 3, padding=1).double(), random_norm(4).double()
    x = torch.randn(1, 2, 3, 4, 5).double()
    weight, bias = fold_norm(conv.weight, conv.bias, norm)
    torch.testing.assert_close(nn.functional.conv3d(x, weight, bias, padding=1), norm(conv(x)), rtol=1e-12, atol=1e-12)


def test_a_folded_convolution_has_the_type_of_its_weight_and_no_gradient():
    weight, bias = fold_norm(torch.randn(4, 2, 1, 1, 1, requires_grad=True).to(torch.bfloat16), None, random_norm(4))
    assert (weight.dtype, bias.dtype) == (torch.bfloat16, torch.bfloat16)
    assert not weight.requires_grad
