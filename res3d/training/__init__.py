"""Training of detectors and clip classifiers, on one machine or several (needs ``res3d[train]``)."""

from res3d.training.run import TrainingResult, train
from res3d.training.settings import TrainingSettings

__all__ = ["TrainingResult", "TrainingSettings", "train"]
