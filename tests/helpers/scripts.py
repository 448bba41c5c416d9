"""Python scripts in forked processes that have already imported torch and Lightning, which takes seconds."""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PRELOADED = ("res3d.training.fit", "torch.utils.tensorboard")


class ScriptProcess:
    """A script that runs in a process of its own, as ``python SCRIPT ARGUMENTS``.

    Args:
        script: path of the script.
        arguments: its command line.
        environment: variables that are set in addition to those of this process.
        output: file for stdout and stderr.
    """

    def __init__(self, script: Path, arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*PRELOADED])
        self.output = output
        target = (str(script), tuple(arguments), dict(environment), str(output))
        self._process = context.Process(target=run_script, args=target)
        self._process.start()

    def wait(self, timeout: float) -> tuple[int, str]:
        """Return the exit code and the output.

        Raises:
            TimeoutError: the script did not end in time; it is killed.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"no end after {timeout} s: {self.output.read_text()}")
        return self._process.exitcode, self.output.read_text()


def run_script(script: str, arguments: Sequence[str], environment: Mapping[str, str], output: str) -> None:
    """Run a script as ``__main__`` in this process, with stdout and stderr redirected to a file."""
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    runpy.run_path(script, run_name="__main__")
