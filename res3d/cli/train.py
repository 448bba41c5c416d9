"""``res3d train``: a model from a config."""

from res3d.cli.command import UsageError
from res3d.cli.inputs import complain
from res3d.training import TrainingSettings
from res3d.training import train as run_training
from res3d.video import VideoError
from res3d.weights import WeightsError


def train(settings: TrainingSettings) -> int:
    """Train a detector or a classifier, and keep the weights that score best in OUT/best.safetensors.

    A run that was interrupted goes on from OUT/last.ckpt when it is started again, and ends as if nothing had happened.
    Settings under model, train, validate and augment can be given one by one: --model.width 0.5. Exit codes: 1 if a
    file is missing or cannot be read or written, or the loss is no longer finite; 2 for wrong settings; 130 after
    Ctrl-C.
    """
    try:
        result = run_training(settings)
    except (WeightsError, VideoError, FloatingPointError, ImportError, OSError) as error:
        return complain("train", _one_line(error))
    except ValueError as error:
        raise UsageError(_one_line(error)) from None
    from res3d.training.fit import is_first_process  # now that Lightning is known to be there

    if not is_first_process():
        return 0
    print(f"{result}; res3d.load_model({str(result.weights)!r}) rebuilds it")
    return 0


def _one_line(error: Exception) -> str:
    """The message; of an error in a process that loads data, what it said, without where."""
    text = str(error).strip()
    if not text.startswith("Caught "):
        return text
    return text.splitlines()[-1].partition(": ")[2] or text.splitlines()[-1]
