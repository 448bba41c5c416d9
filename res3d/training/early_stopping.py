"""An end to runs whose scores rise no more."""

from typing import Any

import pytorch_lightning as pl


class EarlyStopping(pl.callbacks.EarlyStopping):  # by this name Lightning keeps its state in checkpoints
    """Lightning's, but that a run which goes on has the patience that is asked for now.

    Args:
        monitor: the score, the higher the better.
        patience: validations without a better one.
        comparable: whether scores before a checkpoint compare with those after it; else it counts anew.
    """

    def __init__(self, monitor: str, patience: int, *, comparable: bool) -> None:
        super().__init__(
            monitor, patience=patience, mode="max", check_on_train_epoch_end=False, log_rank_zero_only=True
        )
        self.comparable = comparable

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.comparable:
            super().load_state_dict({**state_dict, "patience": self.patience})
