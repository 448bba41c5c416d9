"""The parameters of an optimizer, grouped by learning rate and weight decay."""

from collections.abc import Mapping

from torch import nn
from torch.optim import Optimizer

from res3d.settings import did_you_mean
from res3d.training.optimizers import ParameterGroup
from res3d.training.settings import TrainingSettings
from res3d.training.task import AnyTask


def group_parameters(
    model: nn.Module, rates: Mapping[str, float], learning_rate: float, weight_decay: float
) -> list[ParameterGroup]:
    """Group the parameters of a model that require a gradient by learning rate and weight decay.

    Tensors of fewer than two axes (biases and norms) have no decay.

    Args:
        model: a whole model; frozen parameters are in no group.
        rates: factors of the learning rate by path of a module like ``backbone.conv5``; of two that match, the longer
            counts.
        learning_rate: of the modules that no path matches.
        weight_decay: of all others than biases and norms.

    Raises:
        ValueError: a path that the model does not have or of which nothing is trained, or nothing to train at all.
    """
    _check_rates(model, rates)
    groups: dict[tuple[str, bool], ParameterGroup] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        path = max((p for p in rates if name.startswith(f"{p}.")), key=len, default="")
        decays = parameter.dim() >= 2
        group = groups.setdefault(
            (path, decays),
            {
                "name": f"{path or 'rest'}{'' if decays else ', biases and norms'}",
                "params": [],
                "lr": learning_rate * rates.get(path, 1.0),
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    if not groups:
        raise ValueError("every parameter is frozen: nothing to train")
    return list(groups.values())


def _check_rates(model: nn.Module, rates: Mapping[str, float]) -> None:
    paths = [name for name, _ in model.named_modules() if name]
    for path in rates:
        if path not in paths:
            hint = did_you_mean(path, paths)
            accepted = ", ".join(name for name in paths if "." not in name)
            raise ValueError(f"rates: the model has no part {path!r}{hint} (accepted: {accepted} and their parts)")
        if not any(p.requires_grad for p in model.get_submodule(path).parameters()):
            raise ValueError(f"rates: nothing of {path!r} is ever trained; it stays frozen, or has no parameters")


def build_optimizer(task: AnyTask, settings: TrainingSettings) -> Optimizer:
    """Build the optimizer of all parameters that the run ever trains.

    Those of stages that are unfrozen later are in it from the start, without a gradient.

    Raises:
        ValueError: as ``group_parameters``.
    """
    task.backbone.freeze(settings.least_frozen)
    groups = group_parameters(task.model, settings.rates, settings.learning_rate, settings.weight_decay)
    task.backbone.freeze(settings.freeze_at)
    return settings.optimizer.build(groups, settings.learning_rate)
