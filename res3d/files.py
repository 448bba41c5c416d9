"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

UNFINISHED = ".unfinished"  # how names of files end that nobody may read yet
NAME_BYTES = 200  # of the name that a file will have, in the name that it has until then


def hidden_name(name: str) -> str:
    """Return how the names of hidden files begin that stand beside the file of that name; not too long for any."""
    return "." + os.fsencode(name)[:NAME_BYTES].decode(errors="ignore")


def hidden_place(path: Path, ending: str = UNFINISHED) -> Path:
    """Return where to write what is to be ``path``: beside it, under a name that nobody else uses."""
    return path.with_name(f"{hidden_name(path.name)}.{token_hex(4)}{ending}")


def identify(path: Path) -> dict[str, str | int | float]:
    """Return what a file is known by: its name, its size in bytes, and when it was modified."""
    state = path.stat()
    return {"file": path.name, "bytes": state.st_size, "modified": state.st_mtime}


@contextmanager
def unfinished(path: str | Path) -> Iterator[Path]:
    """Where to write what is to be ``path``, until the block ends. It is renamed in one step.

    An error in the block, or Ctrl-C, leaves nothing there, and the file that had the name before as it was. A link
    stays a link; pipes and devices are written to as they are.

    Raises:
        FileNotFoundError: no folder of that name.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    place = hidden_place(path)
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
