"""Kinds of models as rows: how each is built, what it learns from a batch, and how it is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from res3d.data import DatasetInfo
from res3d.training.settings import TrainingSettings

Samples = Sequence[tuple[Tensor, Any]]  # clips and what is true of them
Options = Mapping[str, Any]
Maps = Mapping[str, Tensor]  # by stage, [N, C, T, H, W]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What training needs to know of one kind of model, which has a ``backbone``."""

    build: Callable[[Options, DatasetInfo], nn.Module]
    """From the config's ``model`` and what is known of the data, unfrozen; ValueError for what does not fit."""
    needs: Callable[[Any], Mapping[str, str]]
    """Shapes of what a model learns from besides what every kind of its data has."""
    losses: Callable[[Any, Samples, Maps | None], dict[str, Tensor]]
    """To be added up. Where maps of the leading stages are given, only the sizes of the clips are looked at."""
    pixels: Callable[[Any, Tensor], Tensor]  # what the backbone is given for one clip, [1, C, T, H, W]
    predict: Callable[[Any, Samples], list[Any]]  # one result a clip, on the CPU
    truth: Callable[[Any], Any]  # of a clip's target, what scoring needs
    score: Callable[[Sequence[Any], Sequence[Any]], dict[str, float]]  # results and truths of all clips
    best: str  # the score that says which weights are best, the higher the better; ``score`` gives it always
    normalizes: bool  # whether the model itself brings clips in 0..1 to the mean and spread that it was made for
    note_input: Callable[[Any, TrainingSettings, DatasetInfo], None]
    """Store with the model what clips of such data are like."""
    scored_alone: bool  # whether clips go through one by one: batches would be padded, and results change with that
