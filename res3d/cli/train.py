"""``res3d train``: train a model from a configuration."""

from dataclasses import dataclass, field, fields
from typing import Annotated

from res3d.cli.command import Command
from res3d.cli.computing import Computing
from res3d.cli.errors import UsageError, report_error
from res3d.settings import Short
from res3d.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainCommand(TrainingSettings, Command):
    """Train a detector or a classifier, and write the weights with the best score to OUT/best.safetensors.

    If an interrupted run is started again, it resumes from OUT/last.ckpt and gives the same result as without the
    interruption. Settings under model, train, validate and augment can be set one by one: --model.width 0.5. The exit
    code is 0 after success, 1 if a file is missing or cannot be read or written, or if the loss is not finite, 2 for
    invalid settings, 130 after Ctrl-C.
    """

    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    @property
    def settings(self) -> TrainingSettings:
        """The settings of the run, without those of the command."""
        return TrainingSettings(**{f.name: getattr(self, f.name) for f in fields(TrainingSettings)})

    def run(self) -> int:
        """Train the model and print the result."""
        from res3d.training import train
        from res3d.video import VideoError
        from res3d.weights import WeightsError

        try:
            result = train(self.settings)
        except (WeightsError, VideoError, FloatingPointError, ImportError, OSError) as error:
            return report_error("train", _one_line(error))
        except ValueError as error:
            raise UsageError(_one_line(error)) from None
        from res3d.training.fit import is_first_process  # imports Lightning; ``train`` reports if it is missing

        if not is_first_process():
            return 0
        print(f"{result}; res3d.load_model({str(result.weights)!r}) rebuilds it")
        return 0


def _one_line(error: Exception) -> str:
    """Return the message of an error.

    For an error in a data loading process, PyTorch puts the traceback into the message; then it is the last line.
    """
    text = str(error).strip()
    if not text.startswith("Caught "):
        return text
    return text.splitlines()[-1].partition(": ")[2] or text.splitlines()[-1]
