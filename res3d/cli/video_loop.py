"""Loop over the videos of a command, one at a time or several in threads. An error in one does not stop the others."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from res3d.cli.errors import Interrupted, report_error

FINISHED_FILES = "finished files are kept"


@dataclass(kw_only=True)
class VideoLoop:
    """Runs an action on each video. A failure is reported in one line, and the loop continues with the other videos."""

    command: str
    """Name of the command, for messages."""
    smaller: str
    """Flags that the message on too little memory suggests to reduce."""
    at_once: int = 1
    """Number of videos that are processed at the same time, in threads."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set after Ctrl-C. An action in a thread must check it and end."""
    finished: int = field(default=0, init=False)
    """Number of videos that were processed without an error."""

    def run_and_count(self, paths: Sequence[Path], action: Callable[[Path], None]) -> int:
        """Run, and if there are several videos, print how many succeeded; return how many failed."""
        failures = self.run(paths, action)
        if len(paths) > 1:
            print(f"{len(paths) - failures} of {len(paths)} videos done")
        return failures

    def run(self, paths: Sequence[Path], action: Callable[[Path], None]) -> int:
        """Run the action on all videos, and return how many failed.

        Raises:
            Interrupted: Ctrl-C; the message tells which results exist.
        """
        try:
            failures = self._run(paths, action)
        except KeyboardInterrupt as error:
            raise (
                error if str(error) else Interrupted(FINISHED_FILES if self.finished else "no file was finished")
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
        except (RuntimeError, ValueError, MemoryError) as error:  # out of memory, or a clip too small for the model
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            report_error(self.command, f"{path}: {first} (if memory is low, use a smaller {self.smaller})")
            return True
        self.finished += 1
        return False
