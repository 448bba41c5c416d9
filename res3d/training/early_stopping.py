"""Early stopping whose patience can change when a run is resumed."""

import pytorch_lightning as pl

from res3d.training.resume import State


class EarlyStopping(pl.callbacks.EarlyStopping):  # the class name is the key of the callback's state in checkpoints
    """Lightning's early stopping, but a resumed run uses the patience of its settings, not of the checkpoint.

    Args:
        monitor: name of the score; higher is better.
        patience: number of validations without a better score after which the run stops.
        comparable: True if the scores in the checkpoint were computed on the current validation data. False starts
            counting from 0 when the run is resumed.
    """

    def __init__(self, monitor: str, patience: int, *, comparable: bool) -> None:
        super().__init__(
            monitor, patience=patience, mode="max", check_on_train_epoch_end=False, log_rank_zero_only=True
        )
        self.comparable = comparable

    def load_state_dict(self, state_dict: State) -> None:
        if self.comparable:
            super().load_state_dict({**state_dict, "patience": self.patience})
