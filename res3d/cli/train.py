"""``res3d train``: a model from a config."""

from dataclasses import dataclass, field, fields
from typing import Annotated

from res3d.cli.command import Command
from res3d.cli.computing import Computing
from res3d.cli.errors import UsageError, report_error
from res3d.settings import Short
from res3d.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainCommand(TrainingSettings, Command):
    """Train a detector or a classifier, and keep the weights that score best in OUT/best.safetensors.

    A run that was interrupted goes on from OUT/last.ckpt when it is started again, and ends as if nothing had happened.
    Settings under model, train, validate and augment can be given one by one: --model.width 0.5. Exit codes: 1 if a
    file is missing or cannot be read or written, or the loss is no longer finite; 2 for wrong settings; 130 after
    Ctrl-C.
    """

    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """What is computed on."""

    @property
    def settings(self) -> TrainingSettings:
        """The settings of the run alone."""
        return TrainingSettings(**{f.name: getattr(self, f.name) for f in fields(TrainingSettings)})

    def run(self) -> int:
        """Train."""
        from res3d.training import train
        from res3d.video import VideoError
        from res3d.weights import WeightsError

        try:
            result = train(self.settings)
        except (WeightsError, VideoError, FloatingPointError, ImportError, OSError) as error:
            return report_error("train", _one_line(error))
        except ValueError as error:
            raise UsageError(_one_line(error)) from None
        from res3d.training.fit import is_first_process  # now that Lightning is known to be there

        if not is_first_process():
            return 0
        print(f"{result}; res3d.load_model({str(result.weights)!r}) rebuilds it")
        return 0


def _one_line(error: Exception) -> str:
    """The message; of an error in a process that loads data, the last line, without where it was raised."""
    text = str(error).strip()
    if not text.startswith("Caught "):
        return text
    return text.splitlines()[-1].partition(": ")[2] or text.splitlines()[-1]
