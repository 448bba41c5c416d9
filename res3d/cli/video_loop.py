"""The loop over the videos of a command: one after the other or several at a time, whatever becomes of each."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from res3d.cli.errors import Interrupted, report_error

NOTHING_LOST = "what was finished is kept"


@dataclass(kw_only=True)
class VideoLoop:
    """Runs an action on each video; one that fails is reported in one line, and the others go on.

    Args:
        command: its name, for messages.
        smaller: the flags that a message on too little memory names.
        at_once: videos that are worked on at a time, in threads.
    """

    command: str
    smaller: str
    at_once: int = 1
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set after Ctrl-C: an action that runs in a thread then has to see it and to end."""
    finished: int = field(default=0, init=False)
    """Videos that are done."""

    def run_and_count(self, paths: Sequence[Path], action: Callable[[Path], None]) -> int:
        """Run, and print how many of several videos are done."""
        failures = self.run(paths, action)
        if len(paths) > 1:
            print(f"{len(paths) - failures} of {len(paths)} videos done")
        return failures

    def run(self, paths: Sequence[Path], action: Callable[[Path], None]) -> int:
        """Work on all videos; return how many failed.

        Raises:
            Interrupted: Ctrl-C, with what became of the work so far.
        """
        try:
            failures = self._run(paths, action)
        except KeyboardInterrupt as error:
            raise (
                error if str(error) else Interrupted(NOTHING_LOST if self.finished else "nothing was finished")
            ) from None
        return failures

    def _run(self, paths: Sequence[Path], action: Callable[[Path], None]) -> int:
        if self.at_once == 1:
            return sum(self._fails(path, action) for path in paths)
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="res3d-video") as pool:
            try:
                return sum(pool.map(lambda path: self._fails(path, action), paths))
            except BaseException:
                self.stopping.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _fails(self, path: Path, action: Callable[[Path], None]) -> bool:
        from res3d.video import VideoError

        try:
            action(path)
        except (VideoError, OSError) as error:
            text = str(error)
            report_error(self.command, text if text.startswith(str(path)) else f"{path}: {text}")
            return True
        except (RuntimeError, ValueError, MemoryError) as error:  # too little memory, or a clip too small for the model
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            report_error(self.command, f"{path}: {first} (if memory is short, try a smaller {self.smaller})")
            return True
        self.finished += 1
        return False
