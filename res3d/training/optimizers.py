"""Table of the optimizers by name, each with its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch.optim import Optimizer

ParameterGroup: TypeAlias = dict[str, Any]
"""A parameter group of torch's optimizers, with ``params``, ``lr``, ``weight_decay`` and ``name``."""


class OptimizerSettings(Protocol):
    """Settings of one optimizer, a frozen dataclass."""

    def build(self, groups: Sequence[ParameterGroup], learning_rate: float) -> Optimizer:
        """Return the optimizer of parameter groups.

        Args:
            groups: the groups; each has its learning rate and weight decay.
            learning_rate: default for groups without ``lr``.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def build(self, groups: Sequence[ParameterGroup], learning_rate: float) -> Optimizer:
        return torch.optim.AdamW(groups, learning_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Adam:
    """Adam (Kingma & Ba 2015)."""

    def build(self, groups: Sequence[ParameterGroup], learning_rate: float) -> Optimizer:
        return torch.optim.Adam(groups, learning_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sgd:
    """Stochastic gradient descent with momentum.

    Raises:
        ValueError: a momentum outside [0, 1).
    """

    momentum: float = 0.9
    """Momentum, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), not {self.momentum!r}")

    def build(self, groups: Sequence[ParameterGroup], learning_rate: float) -> Optimizer:
        return torch.optim.SGD(groups, learning_rate, momentum=self.momentum)


OPTIMIZERS: Mapping[str, type[OptimizerSettings]] = {"adamw": AdamW, "adam": Adam, "sgd": Sgd}
"""The settings class of each optimizer."""
