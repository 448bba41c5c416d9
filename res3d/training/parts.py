"""Which parameters are trained, and at which rate: groups of an optimizer by part of the model."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from res3d.settings import did_you_mean
from res3d.training.settings import TrainingSettings


def parameter_groups(
    model: nn.Module, rates: Mapping[str, float], learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """The model's parameters that take a gradient now, in groups of one rate and decay each.

    Tensors of fewer than two axes, biases and norms, have no decay.

    Args:
        model: a whole model; frozen parameters are in no group.
        rates: factors by part, the path of a module like ``backbone.conv5``; of two that match, the longer counts.
        learning_rate: of what no part matches.
        weight_decay: of the rest.

    Raises:
        ValueError: a part that the model does not have or of which nothing is trained, or nothing to train at all.
    """
    parts = [name for name, _ in model.named_modules() if name]
    for part in rates:
        if part not in parts:
            hint = did_you_mean(part, parts)
            accepted = ", ".join(name for name in parts if "." not in name)
            raise ValueError(f"rates: the model has no part {part!r}{hint} (accepted: {accepted} and their parts)")
        if not any(p.requires_grad for p in model.get_submodule(part).parameters()):
            raise ValueError(f"rates: nothing of {part!r} is ever trained; it stays frozen, or has no parameters")
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = max((p for p in rates if name.startswith(f"{p}.")), key=len, default="")
        decays = parameter.dim() >= 2
        group = groups.setdefault(
            (part, decays),
            {
                "name": f"{part or 'rest'}{'' if decays else ', biases and norms'}",
                "params": [],
                "lr": learning_rate * rates.get(part, 1.0),
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    if not groups:
        raise ValueError("every parameter is frozen: nothing to train")
    return list(groups.values())


OPTIMIZERS: Mapping[str, Callable[[list[dict[str, Any]], TrainingSettings], Optimizer]] = {
    "adamw": lambda groups, settings: torch.optim.AdamW(groups, settings.learning_rate),
    "adam": lambda groups, settings: torch.optim.Adam(groups, settings.learning_rate),
    "sgd": lambda groups, settings: torch.optim.SGD(groups, settings.learning_rate, momentum=settings.momentum),
}


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """Of all parameters that the run ever trains: those that are unfrozen later wait in it, without a gradient.

    Raises:
        ValueError: as ``parameter_groups``.
    """
    backbone: Any = model.backbone
    backbone.freeze(settings.least_frozen)
    groups = parameter_groups(model, settings.rates, settings.learning_rate, settings.weight_decay)
    backbone.freeze(settings.freeze_at)
    return OPTIMIZERS[settings.optimizer](groups, settings)
