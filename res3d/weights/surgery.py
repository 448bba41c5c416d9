"""One tensor of a checkpoint made to fit one of a model: 2D kernels into 3D ones, plain layers into factored ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from res3d.weights.accounting import Account, Theirs
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
"""The kernels that take the channels of the clip."""


class Fitted(NamedTuple):
    """A tensor of the model's shape."""

    tensor: Tensor
    changed: bool
    """True if it differs from the checkpoint's in more than the shape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surgery:
    """Changes that make tensors of a checkpoint fit; see ``load_weights``."""

    inflate: Inflation
    channels: Channels
    norm_eps: float
    """Eps of the model's norms."""

    def fit(self, ours: str, mine: Tensor, theirs: Theirs) -> Fitted:
        """``theirs`` in the shape of ``mine``, the model's tensor ``ours``.

        Raises:
            WeightsError: a shape that cannot be made to fit.
        """
        tensor, changed = theirs.tensor, False
        if ours in FIRST_CONVS and self.channels != "keep":
            tensor, changed = change_channels(tensor, mine.shape[1], self.channels), True
        if mine.dim() == 5 and tensor.dim() == 2 and tensor.numel() * mine.shape[2] == mine.numel():
            tensor = tensor.reshape(*mine.shape[:2], *mine.shape[3:])  # a linear layer over all places of a window
        if mine.dim() == 5 and _frames(tensor) == 1 and (tensor.dim() == 4 or mine.shape[2] > 1):
            image = _as_image(tensor)
            _check_shape(ours, mine, theirs.key, image, ignore_frames=True)
            tensor, changed = inflate_kernel(image, mine.shape[2], self.inflate), True
        elif ours.startswith("fc.") and tensor.dim() == 5 and tensor.shape[2:] == (1, 1, 1):
            tensor = tensor[:, :, 0, 0, 0]
        _check_shape(ours, mine, theirs.key, tensor)
        return Fitted(tensor, changed)

    def identity(self, ours: str, mine: Tensor) -> Tensor:
        """The value of a norm's tensor at which it lets everything through: variance and eps make one."""
        values = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - self.norm_eps}
        return torch.full(mine.shape, values[ours.rsplit(".", 1)[1]])

    def factor(self, layer: "FactoredLayer") -> None:
        """Fill the two factors and two norms of ``layer`` from a plain convolution and its norm.

        Raises:
            WeightsError: a kernel that spans time, or a layer that cannot compute what the plain one does.
        """
        account, theirs, name = layer.account, layer.theirs, layer.name
        kernel = self._image_kernel(layer)
        if f"{name}.norm.running_mean" not in account.own:
            raise WeightsError(f"{theirs.key} can enter a (2+1)D convolution only if the model has batch norm")
        outer = {leaf: account.theirs[f"{name}.norm.{leaf}"].tensor.float() for leaf in layer.norm_leaves}
        if name == "stem" and not layer.spatial_first:
            raise WeightsError(
                f"{theirs.key} cannot enter a stem whose temporal factor comes first: its input is signed"
            )
        layer.check_shape(kernel)
        try:
            self._fill_factors(layer, kernel, outer)
        except MiddleTooNarrowError as error:
            hint = "middle='2x' makes the model wide enough"
            raise WeightsError(f"{theirs.key} cannot enter the (2+1)D convolution {name}: {error} ({hint})") from None
        account.use(f"{name}.conv.weight", *(f"{name}.norm.{leaf}" for leaf in layer.norm_leaves))

    def _image_kernel(self, layer: "FactoredLayer") -> Tensor:
        kernel = layer.theirs.tensor
        if layer.name == "stem" and self.channels != "keep":
            kernel = change_channels(kernel, layer.spatial.shape[1], self.channels)
        if _frames(kernel) != 1:
            raise WeightsError(
                f"{layer.theirs.key} spans {_frames(kernel)} frames, which no (2+1)D convolution can take over"
            )
        return _as_image(kernel).float()

    def _fill_factors(self, layer: "FactoredLayer", kernel: Tensor, outer: Mapping[str, Tensor]) -> None:
        inner_norm, outer_norm = f"{layer.name}.conv.norm", f"{layer.name}.norm"
        if layer.spatial_first:
            middle, frames, signed = layer.spatial.shape[0], layer.temporal.shape[2], layer.is_summed
            spatial, temporal = factor_spatial_first(kernel, middle, frames, signed=signed)
            layer.fill_kernels(spatial=spatial, temporal=temporal)
            self._fill_norm(layer.account, inner_norm, outer, copies=2 if signed else 1)
            self._fill_norm(layer.account, outer_norm, {})
        else:
            temporal, spatial = factor_temporal_first(kernel, layer.temporal.shape[0], layer.temporal.shape[2])
            layer.fill_kernels(spatial=spatial, temporal=temporal)
            self._fill_norm(layer.account, inner_norm, {})
            self._fill_norm(layer.account, outer_norm, outer)

    def _fill_norm(self, account: Account, norm: str, values: Mapping[str, Tensor], copies: int = 1) -> None:
        """A norm with ``values`` in its first channels, negated in as many more for 2 copies, else the identity."""
        for leaf in NORM_LEAVES:
            ours = f"{norm}.{leaf}"
            filled = self.identity(ours, account.own[ours])
            if leaf in values:
                size = len(values[leaf])
                filled[:size] = values[leaf]
                if copies == 2:
                    filled[size : 2 * size] = values[leaf] if leaf in ("weight", "running_var") else -values[leaf]
            account.fill(ours, filled, "initialized")


@dataclass(frozen=True, kw_only=True, slots=True)
class FactoredLayer:
    """A (2+1)D layer of the model that is a plain convolution in the checkpoint."""

    account: Account
    name: str
    """Like ``conv2.0.branch.a``."""

    @classmethod
    def find(cls, account: Account) -> "Iterator[FactoredLayer]":
        """All such layers, in the model's order."""
        end = ".conv.spatial.weight"
        for name in [key.removesuffix(end) for key in account.own if key.endswith(end)]:
            if f"{name}.conv.weight" in account.theirs:
                yield cls(account=account, name=name)

    @property
    def theirs(self) -> Theirs:
        """The plain kernel."""
        return self.account.theirs[f"{self.name}.conv.weight"]

    @property
    def spatial(self) -> Tensor:
        return self.account.own[f"{self.name}.conv.spatial.weight"]

    @property
    def temporal(self) -> Tensor:
        return self.account.own[f"{self.name}.conv.temporal.weight"]

    @property
    def spatial_first(self) -> bool:
        return self._first_child(f"{self.name}.conv") == "spatial"

    @property
    def is_summed(self) -> bool:
        """True if the output is added to a shortcut before any ReLU, so that it may be negative."""
        if self.name == "stem":
            return False
        branch, name = self.name.rsplit(".", 1)
        last: str = [child for child, _ in self.account.modules[branch].named_children()][-1]
        return last == name

    @property
    def norm_leaves(self) -> list[str]:
        """The tensors of the plain convolution's norm that the checkpoint has."""
        return [leaf for leaf in NORM_LEAVES if f"{self.name}.norm.{leaf}" in self.account.theirs]

    def check_shape(self, kernel: Tensor) -> None:
        """Refuse a kernel [O, I, ky, kx] of other channels or another size, with a WeightsError."""
        out, channels = (self.temporal, self.spatial) if self.spatial_first else (self.spatial, self.temporal)
        plain = self.spatial.new_empty((out.shape[0], channels.shape[1], 1, *self.spatial.shape[3:]))
        _check_shape(f"{self.name}.conv", plain, self.theirs.key, kernel, ignore_frames=True)

    def fill_kernels(self, *, spatial: Tensor, temporal: Tensor) -> None:
        """Note the new kernels of the factors."""
        for factor, kernel in (("spatial", spatial), ("temporal", temporal)):
            self.account.fill(f"{self.name}.conv.{factor}.weight", kernel, "inflated")

    def _first_child(self, module: str) -> str:
        children: nn.Module = self.account.modules[module]
        return next(name for name, _ in children.named_children())


def _check_shape(ours: str, mine: Tensor, key: str, tensor: Tensor, *, ignore_frames: bool = False) -> None:
    wanted = tuple(mine.shape)
    compared = (*wanted[:2], *wanted[3:]) if ignore_frames else wanted
    if tuple(tensor.shape) == compared:
        return
    depthwise = len(wanted) == 5 and wanted[1] == 1 < tensor.shape[1] and wanted[0] == tensor.shape[0]
    why = ": a dense kernel cannot enter a depthwise convolution" if depthwise else ""
    raise WeightsError(f"{key} is {tuple(tensor.shape)}, the model's {ours} {wanted}{why}")


def _frames(kernel: Tensor) -> int:
    """Frames that a convolution's kernel spans; 0 for other tensors."""
    if kernel.dim() == 5:
        return kernel.shape[2]
    return 1 if kernel.dim() == 4 else 0


def _as_image(kernel: Tensor) -> Tensor:
    return kernel if kernel.dim() == 4 else kernel[:, :, 0]
