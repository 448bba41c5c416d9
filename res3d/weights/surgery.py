"""Conversion of checkpoint tensors to the shapes of a model: inflation of 2D kernels, factoring of plain kernels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from res3d.weights.accounting import Account, CheckpointTensor
from res3d.weights.inflation import (
    Channels,
    Inflation,
    MiddleTooNarrowError,
    change_channels,
    factor_spatial_first,
    factor_temporal_first,
    inflate_kernel,
)
from res3d.weights.report import WeightsError

STATISTICS = ("running_mean", "running_var")
NORM_LEAVES = ("weight", "bias", *STATISTICS)
FIRST_CONVS = ("stem.conv.weight", "stem.conv.spatial.weight")
"""Names of the kernels that read the clip."""


class Fitted(NamedTuple):
    """A checkpoint tensor in the shape of the model's tensor."""

    tensor: Tensor
    changed: bool
    """True if the values changed too, not only the shape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surgery:
    """Conversions of checkpoint tensors, with the options of ``load_weights``."""

    inflate: Inflation
    channels: Channels
    norm_eps: float
    """Eps of the model's norms."""

    def fit(self, name: str, current: Tensor, source: CheckpointTensor) -> Fitted:
        """Convert ``source`` to the shape of ``current``, the model's tensor ``name``.

        Raises:
            WeightsError: the shapes do not fit.
        """
        tensor, changed = source.tensor, False
        if name in FIRST_CONVS and self.channels != "keep":
            tensor, changed = change_channels(tensor, current.shape[1], self.channels), True
        if current.dim() == 5 and tensor.dim() == 2 and tensor.numel() * current.shape[2] == current.numel():
            # A linear layer [O, I·ky·kx] over a window, such as an RoI, equals a convolution that covers the window.
            tensor = tensor.reshape(*current.shape[:2], *current.shape[3:])
        if current.dim() == 5 and _num_frames(tensor) == 1 and (tensor.dim() == 4 or current.shape[2] > 1):
            kernel = _to_2d(tensor)
            _check_shape(name, current, source.key, kernel, ignore_frames=True)
            tensor, changed = inflate_kernel(kernel, current.shape[2], self.inflate), True
        elif name.startswith("fc.") and tensor.dim() == 5 and tensor.shape[2:] == (1, 1, 1):
            tensor = tensor[:, :, 0, 0, 0]
        _check_shape(name, current, source.key, tensor)
        return Fitted(tensor, changed)

    def identity(self, name: str, current: Tensor) -> Tensor:
        """Return the value of a norm's tensor ``name`` in a norm that computes the identity: var + eps is 1."""
        values = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - self.norm_eps}
        return torch.full(current.shape, values[name.rsplit(".", 1)[1]])

    def factor(self, layer: "FactoredLayer") -> None:
        """Fill the two factors and two norms of ``layer`` from a plain convolution and its norm.

        Raises:
            WeightsError: a kernel of several frames, or a layer that cannot compute what the plain one computes.
        """
        account, plain, name = layer.account, layer.plain, layer.name
        kernel = self._plain_kernel(layer)
        if f"{name}.norm.running_mean" not in account.model_tensors:
            raise WeightsError(f"{plain.key} can enter a (2+1)D convolution only if the model has batch norm")
        norm = {leaf: account.checkpoint_tensors[f"{name}.norm.{leaf}"].tensor.float() for leaf in layer.norm_leaves}
        if name == "stem" and not layer.spatial_first:
            raise WeightsError(
                f"{plain.key} cannot enter a stem whose temporal factor comes first: its input may be negative"
            )
        layer.check_shape(kernel)
        try:
            self._fill_factors(layer, kernel, norm)
        except MiddleTooNarrowError as error:
            hint = "middle='2x' makes the model wide enough"
            raise WeightsError(f"{plain.key} cannot enter the (2+1)D convolution {name}: {error} ({hint})") from None
        account.mark_used(f"{name}.conv.weight", *(f"{name}.norm.{leaf}" for leaf in layer.norm_leaves))

    def _plain_kernel(self, layer: "FactoredLayer") -> Tensor:
        """Return the plain kernel [O, I, ky, kx] with the input channels of the model."""
        kernel = layer.plain.tensor
        if layer.name == "stem" and self.channels != "keep":
            kernel = change_channels(kernel, layer.spatial.shape[1], self.channels)
        if _num_frames(kernel) != 1:
            raise WeightsError(
                f"{layer.plain.key} spans {_num_frames(kernel)} frames, and a (2+1)D convolution can only be filled "
                "from a kernel of 1 frame"
            )
        return _to_2d(kernel).float()

    def _fill_factors(self, layer: "FactoredLayer", kernel: Tensor, norm: Mapping[str, Tensor]) -> None:
        inner_norm, outer_norm = f"{layer.name}.conv.norm", f"{layer.name}.norm"
        if layer.spatial_first:
            middle, frames, signed = layer.spatial.shape[0], layer.temporal.shape[2], layer.is_summed
            spatial, temporal = factor_spatial_first(kernel, middle, frames, signed=signed)
            layer.fill_kernels(spatial=spatial, temporal=temporal)
            self._fill_norm(layer.account, inner_norm, norm, copies=2 if signed else 1)
            self._fill_norm(layer.account, outer_norm, {})
        else:
            temporal, spatial = factor_temporal_first(kernel, layer.temporal.shape[0], layer.temporal.shape[2])
            layer.fill_kernels(spatial=spatial, temporal=temporal)
            self._fill_norm(layer.account, inner_norm, {})
            self._fill_norm(layer.account, outer_norm, norm)

    def _fill_norm(self, account: Account, norm: str, values: Mapping[str, Tensor], copies: int = 1) -> None:
        """Fill the norm ``norm``: ``values`` in the first channels, the identity in the remaining channels.

        With 2 copies, the channels after the first ones normalise the negated input: mean and bias are negated there.
        """
        for leaf in NORM_LEAVES:
            name = f"{norm}.{leaf}"
            value = self.identity(name, account.model_tensors[name])
            if leaf in values:
                size = len(values[leaf])
                value[:size] = values[leaf]
                if copies == 2:
                    value[size : 2 * size] = values[leaf] if leaf in ("weight", "running_var") else -values[leaf]
            account.fill(name, value, "initialized")


@dataclass(frozen=True, kw_only=True, slots=True)
class FactoredLayer:
    """A (2+1)D layer of the model whose counterpart in the checkpoint is a plain convolution."""

    account: Account
    name: str
    """Name of the layer, such as ``conv2.0.branch.a``."""

    @classmethod
    def find(cls, account: Account) -> "Iterator[FactoredLayer]":
        """Yield all such layers, in the model's order."""
        suffix = ".conv.spatial.weight"
        for name in [key.removesuffix(suffix) for key in account.model_tensors if key.endswith(suffix)]:
            if f"{name}.conv.weight" in account.checkpoint_tensors:
                yield cls(account=account, name=name)

    @property
    def plain(self) -> CheckpointTensor:
        """The plain kernel of the checkpoint."""
        return self.account.checkpoint_tensors[f"{self.name}.conv.weight"]

    @property
    def spatial(self) -> Tensor:
        """The model's spatial factor, [M, I, 1, ky, kx] if it comes first, else [O, M, 1, ky, kx]."""
        return self.account.model_tensors[f"{self.name}.conv.spatial.weight"]

    @property
    def temporal(self) -> Tensor:
        """The model's temporal factor, [O, M, kt, 1, 1] if the spatial one comes first, else [M, I, kt, 1, 1]."""
        return self.account.model_tensors[f"{self.name}.conv.temporal.weight"]

    @property
    def spatial_first(self) -> bool:
        """True if the spatial factor comes first."""
        return self._first_child(f"{self.name}.conv") == "spatial"

    @property
    def is_summed(self) -> bool:
        """True if the output is added to a shortcut before any ReLU, so that negative values matter."""
        if self.name == "stem":
            return False
        branch, name = self.name.rsplit(".", 1)
        last: str = [child for child, _ in self.account.modules[branch].named_children()][-1]
        return last == name

    @property
    def norm_leaves(self) -> list[str]:
        """Names of the tensors in the norm of the plain convolution, as far as the checkpoint has them."""
        return [leaf for leaf in NORM_LEAVES if f"{self.name}.norm.{leaf}" in self.account.checkpoint_tensors]

    def check_shape(self, kernel: Tensor) -> None:
        """Check that the plain kernel [O, I, ky, kx] has the channels and the size of this layer.

        Raises:
            WeightsError: the kernel has another shape.
        """
        last, first = (self.temporal, self.spatial) if self.spatial_first else (self.spatial, self.temporal)
        expected = self.spatial.new_empty((last.shape[0], first.shape[1], 1, *self.spatial.shape[3:]))
        _check_shape(f"{self.name}.conv", expected, self.plain.key, kernel, ignore_frames=True)

    def fill_kernels(self, *, spatial: Tensor, temporal: Tensor) -> None:
        """Record the new kernels of the two factors."""
        for factor, kernel in (("spatial", spatial), ("temporal", temporal)):
            self.account.fill(f"{self.name}.conv.{factor}.weight", kernel, "inflated")

    def _first_child(self, module: str) -> str:
        children: nn.Module = self.account.modules[module]
        return next(name for name, _ in children.named_children())


def _check_shape(name: str, current: Tensor, key: str, tensor: Tensor, *, ignore_frames: bool = False) -> None:
    """Check that the checkpoint's ``tensor`` has the shape of ``current``, the model's tensor ``name``.

    With ``ignore_frames`` the tensor is a 2D kernel, and the temporal size of ``current`` does not count.
    """
    expected = tuple(current.shape)
    compared = (*expected[:2], *expected[3:]) if ignore_frames else expected
    if tuple(tensor.shape) == compared:
        return
    depthwise = len(expected) == 5 and expected[1] == 1 < tensor.shape[1] and expected[0] == tensor.shape[0]
    reason = ": a dense kernel cannot enter a depthwise convolution" if depthwise else ""
    raise WeightsError(f"{key} is {tuple(tensor.shape)}, the model's {name} {expected}{reason}")


def _num_frames(kernel: Tensor) -> int:
    """Return the temporal size of a convolution's kernel; 0 for other tensors."""
    if kernel.dim() == 5:
        return kernel.shape[2]
    return 1 if kernel.dim() == 4 else 0


def _to_2d(kernel: Tensor) -> Tensor:
    """[O, I, 1, ky, kx] or [O, I, ky, kx] -> [O, I, ky, kx]."""
    return kernel if kernel.dim() == 4 else kernel[:, :, 0]
