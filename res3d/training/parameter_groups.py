"""Parameter groups of an optimizer by learning rate and weight decay."""

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
    """Group the trainable parameters of a model by learning rate and weight decay.

    Parameters with fewer than two axes (biases and norms) have no weight decay.

    Args:
        model: the model; parameters that do not require a gradient are left out.
        rates: factors of the learning rate by module path, like ``backbone.conv5``; of several paths that match, the
            longest one applies.
        learning_rate: learning rate, multiplied by the factor of each module.
        weight_decay: weight decay of all parameters except biases and norms.

    Raises:
        ValueError: the model has no module of a path, a module of a path has nothing to train, or the model has
            nothing to train.
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
            raise ValueError(
                f"rates: the model has no module {path!r}{hint} (accepted: {accepted} and their submodules)"
            )
        if not any(p.requires_grad for p in model.get_submodule(path).parameters()):
            raise ValueError(f"rates: {path!r} is never trained; it stays frozen or has no parameters")


def build_optimizer(task: AnyTask, settings: TrainingSettings) -> Optimizer:
    """Build the optimizer of all parameters that are trained in some epoch of the run.

    It includes the parameters of stages that are unfrozen later; until then they have no gradient.

    Raises:
        ValueError: see ``group_parameters``.
    """
    task.backbone.freeze(settings.least_frozen)
    groups = group_parameters(task.model, settings.rates, settings.learning_rate, settings.weight_decay)
    task.backbone.freeze(settings.freeze_at)
    return settings.optimizer.build(groups, settings.learning_rate)
