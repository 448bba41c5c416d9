"""The account of a load: every tensor of a checkpoint and of the model, and what becomes of it."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor, nn

from res3d.weights.layouts import IGNORED, Layout
from res3d.weights.report import LoadReport, WeightsError

COUNTER = "num_batches_tracked"
Origin: TypeAlias = Literal["loaded", "inflated", "initialized"]


class Theirs(NamedTuple):
    """A tensor of the checkpoint under the checkpoint's name."""

    key: str
    tensor: Tensor


class Account:
    """Tensors of a model and of a checkpoint by one set of names, and what becomes of each.

    Names are the model's, less the prefixes of its kind; ``report`` puts them back.

    Args:
        model: the model.
        prefixes: what stands before stages' names in the model's own keys.
        tensors: the checkpoint's.
        layout: of the checkpoint.

    Attributes:
        own: the model's tensors.
        theirs: the checkpoint's, those that the layout has a name for.
        filled: new values of the model's tensors.
        modules: the model's modules.

    Raises:
        WeightsError: two tensors of the checkpoint that mean one of the model's.
    """

    def __init__(self, model: nn.Module, prefixes: Iterable[str], tensors: Mapping[str, Tensor], layout: Layout):
        self._prefixes = tuple(prefixes)
        self._layout = layout
        self._full_names = {self.short_name(key): key for key in model.state_dict()}
        self.own: dict[str, Tensor] = {self.short_name(key): tensor for key, tensor in model.state_dict().items()}
        self.modules: dict[str, nn.Module] = {self.short_name(name): module for name, module in model.named_modules()}
        self._stages = {key.split(".")[0] for key in self.own}
        self.theirs: dict[str, Theirs] = {}
        self.filled: dict[str, Tensor] = {}
        self._origins: dict[str, Origin] = {}
        self._used: set[str] = set()
        self._unexpected: list[str] = []
        self._ignored: list[str] = []
        for key, tensor in tensors.items():
            self._rename(key, tensor)

    def short_name(self, key: str) -> str:
        """The model's name ``key`` without the prefixes."""
        for prefix in self._prefixes:
            key = key.removeprefix(prefix)
        return key

    def _rename(self, key: str, tensor: Tensor) -> None:
        ours = self._layout.rename(key)
        if ours is None:
            self._unexpected.append(key)
        elif ours == IGNORED:
            self._ignored.append(key)
        elif ours in self.theirs:
            raise WeightsError(f"{self.theirs[ours].key} and {key} both mean {ours}")
        else:
            self.theirs[ours] = Theirs(key, tensor)

    def fill(self, ours: str, tensor: Tensor, origin: Origin) -> None:
        """Note the new value of one of the model's tensors."""
        self.filled[ours] = tensor
        self._origins[ours] = origin

    def use(self, *names: str) -> None:
        """Note that these of ``theirs`` have gone into the model."""
        self._used.update(names)

    @property
    def missing(self) -> list[str]:
        """Tensors of the model that nothing was found for, counters apart."""
        return [ours for ours in self.own if ours not in self.filled and not ours.endswith(COUNTER)]

    @property
    def unexpected(self) -> list[str]:
        """Tensors of the checkpoint, under its names, that should have gone into the model."""
        return self._unexpected + [self.theirs[ours].key for ours in self._left if not self._is_spare(ours)]

    @property
    def ignored(self) -> list[str]:
        """Tensors of the checkpoint, under its names, that the model has no use for."""
        return self._ignored + [self.theirs[ours].key for ours in self._left if self._is_spare(ours)]

    @property
    def _left(self) -> list[str]:
        return [ours for ours in self.theirs if ours not in self._used]

    def _is_spare(self, ours: str) -> bool:
        return ours.split(".")[0] not in self._stages or ours.endswith(COUNTER)

    def report(self, source: str, norm_eps: float) -> LoadReport:
        """The account under full names; ``norm_eps`` is that of the model's norms."""

        def filled(origin: Origin) -> tuple[str, ...]:
            return tuple(self._full_names[name] for name, its in self._origins.items() if its == origin)

        return LoadReport(
            source=source,
            layout=self._layout.name,
            channel_order=self._layout.channel_order,
            norm_eps=norm_eps,
            loaded=filled("loaded"),
            inflated=filled("inflated"),
            initialized=filled("initialized"),
            missing=tuple(self._full_names[name] for name in self.missing),
            unexpected=tuple(self.unexpected),
            ignored=tuple(self.ignored),
        )
