"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"  # how names of files end that nobody may read yet


@contextmanager
def unfinished(path: str | Path) -> Iterator[Path]:
    """Where to write what is to be ``path``: beside it, until the block ends. It is renamed in one step.

    An error in the block, or Ctrl-C, leaves nothing there, and the file that had the name before as it was.
    """
    path = Path(path)
    place = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        yield place
        place.replace(path)
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, text: str) -> None:
    """Write UTF-8 text."""
    with unfinished(path) as place:
        place.write_text(text, encoding="utf-8", newline="")
