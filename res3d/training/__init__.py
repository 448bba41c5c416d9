"""Training: fine-tuning with frozen stages, from a config, on one machine or many (needs ``res3d[train]``)."""

from res3d.training.run import TrainingResult, train
from res3d.training.settings import TrainingSettings

__all__ = ["TrainingResult", "TrainingSettings", "train"]
