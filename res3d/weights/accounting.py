"""Record of a load: the checkpoint tensor that fills each tensor of a model."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor, nn

from res3d.weights.layouts import IGNORED, Layout
from res3d.weights.report import LoadReport, WeightsError

COUNTER = "num_batches_tracked"
Origin: TypeAlias = Literal["loaded", "inflated", "initialized"]


class CheckpointTensor(NamedTuple):
    """A tensor of the checkpoint and its key in the checkpoint."""

    key: str
    tensor: Tensor


class Account:
    """The tensors of a model and of a checkpoint under common names, and the result of the load for each.

    The common names are the model's keys without the prefixes of its kind: ``stem.conv.weight`` for the classifier's
    ``backbone.stem.conv.weight``. ``report`` restores the prefixes.

    Args:
        model: the model to fill.
        prefixes: prefixes of the stages' names in the model's keys.
        tensors: the checkpoint's tensors under its own keys.
        layout: the layout of the checkpoint.

    Attributes:
        model_tensors: the model's tensors by common name.
        checkpoint_tensors: the checkpoint's tensors by common name, without those that the layout ignores or does not
            know.
        new_values: the values that the load will copy into the model's tensors.
        modules: the model's modules by common name.

    Raises:
        WeightsError: two tensors of the checkpoint have the same common name.
    """

    def __init__(self, model: nn.Module, prefixes: Iterable[str], tensors: Mapping[str, Tensor], layout: Layout):
        self._prefixes = tuple(prefixes)
        self._layout = layout
        state = model.state_dict()
        self._full_names = {self._common_name(key): key for key in state}
        self.model_tensors: dict[str, Tensor] = {self._common_name(key): tensor for key, tensor in state.items()}
        self.modules: dict[str, nn.Module] = {self._common_name(key): module for key, module in model.named_modules()}
        self._stages = {name.split(".")[0] for name in self.model_tensors}
        self.checkpoint_tensors: dict[str, CheckpointTensor] = {}
        self.new_values: dict[str, Tensor] = {}
        self._origins: dict[str, Origin] = {}
        self._used: set[str] = set()
        self._unexpected: list[str] = []
        self._ignored: list[str] = []
        for key, tensor in tensors.items():
            self._add_checkpoint_tensor(key, tensor)

    def _common_name(self, key: str) -> str:
        for prefix in self._prefixes:
            key = key.removeprefix(prefix)
        return key

    def _add_checkpoint_tensor(self, key: str, tensor: Tensor) -> None:
        name = self._layout.rename(key)
        if name is None:
            self._unexpected.append(key)
        elif name == IGNORED:
            self._ignored.append(key)
        elif name in self.checkpoint_tensors:
            raise WeightsError(f"{self.checkpoint_tensors[name].key} and {key} both mean {name}")
        else:
            self.checkpoint_tensors[name] = CheckpointTensor(key, tensor)

    def fill(self, name: str, value: Tensor, origin: Origin) -> None:
        """Record the new value of the model's tensor ``name``, and how that value was obtained."""
        self.new_values[name] = value
        self._origins[name] = origin

    def mark_used(self, *names: str) -> None:
        """Record that these tensors of ``checkpoint_tensors`` fill tensors of the model."""
        self._used.update(names)

    @property
    def missing(self) -> list[str]:
        """Names of the model's tensors without a new value, except batch counters."""
        return [name for name in self.model_tensors if name not in self.new_values and not name.endswith(COUNTER)]

    @property
    def unexpected(self) -> list[str]:
        """Keys of unused checkpoint tensors that belong to a stage of the model, or that the layout does not know."""
        return self._unexpected + [
            self.checkpoint_tensors[name].key for name in self._unused if not self._is_optional(name)
        ]

    @property
    def ignored(self) -> list[str]:
        """Keys of unused checkpoint tensors that the model does not need."""
        return self._ignored + [self.checkpoint_tensors[name].key for name in self._unused if self._is_optional(name)]

    @property
    def _unused(self) -> list[str]:
        return [name for name in self.checkpoint_tensors if name not in self._used]

    def _is_optional(self, name: str) -> bool:
        return name.split(".")[0] not in self._stages or name.endswith(COUNTER)

    def report(self, source: str, norm_eps: float) -> LoadReport:
        """Return the report, with the model's full keys.

        Args:
            source: the name of the weights.
            norm_eps: the eps of the model's norms.
        """

        def full_names(origin: Origin) -> tuple[str, ...]:
            return tuple(self._full_names[name] for name, value in self._origins.items() if value == origin)

        return LoadReport(
            source=source,
            layout=self._layout.name,
            channel_order=self._layout.channel_order,
            norm_eps=norm_eps,
            loaded=full_names("loaded"),
            inflated=full_names("inflated"),
            initialized=full_names("initialized"),
            missing=tuple(self._full_names[name] for name in self.missing),
            unexpected=tuple(self.unexpected),
            ignored=tuple(self.ignored),
        )
