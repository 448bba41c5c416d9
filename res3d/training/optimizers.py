"""Optimizers by name, each with the settings of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch.optim import Optimizer

ParameterGroup: TypeAlias = dict[str, Any]
"""A group of parameters as torch's optimizers take it: ``params``, ``lr``, ``weight_decay``, and a ``name``."""


class OptimizerSettings(Protocol):
    """The settings of one optimizer: a frozen dataclass."""

    def build(self, groups: Sequence[ParameterGroup], learning_rate: float) -> Optimizer:
        """Return the optimizer of these groups, which have rates and weight decays of their own."""


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
    """Factor by which the last step goes on, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), not {self.momentum!r}")

    def build(self, groups: Sequence[ParameterGroup], learning_rate: float) -> Optimizer:
        return torch.optim.SGD(groups, learning_rate, momentum=self.momentum)


OPTIMIZERS: Mapping[str, type[OptimizerSettings]] = {"adamw": AdamW, "adam": Adam, "sgd": Sgd}
