"""Early stopping that can be resumed with another patience."""

import pytorch_lightning as pl

from res3d.training.resume import State


class EarlyStopping(pl.callbacks.EarlyStopping):  # Lightning keeps the state of callbacks in checkpoints by this name
    """Lightning's early stopping, except that a resumed run has the patience of its own settings.

    Args:
        monitor: the score, the higher the better.
        patience: validations without a better score after which the run stops.
        comparable: whether scores before the checkpoint compare with those after it; else counting starts anew.
    """

    def __init__(self, monitor: str, patience: int, *, comparable: bool) -> None:
        super().__init__(
            monitor, patience=patience, mode="max", check_on_train_epoch_end=False, log_rank_zero_only=True
        )
        self.comparable = comparable

    def load_state_dict(self, state_dict: State) -> None:
        if self.comparable:
            super().load_state_dict({**state_dict, "patience": self.patience})
