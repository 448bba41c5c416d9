"""Atomic writing of files: a file appears complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

UNFINISHED = ".unfinished"  # suffix of files that are being written
NAME_BYTES = 200  # most bytes of a file's name in the name of its unfinished file; file systems allow 255 in all


def hidden_name(name: str) -> str:
    """Return the beginning of the names of hidden files that belong to a file, shortened to ``NAME_BYTES``."""
    return "." + os.fsencode(name)[:NAME_BYTES].decode(errors="ignore")


def hidden_place(path: Path, ending: str = UNFINISHED) -> Path:
    """Return a unique hidden path beside ``path``, for its content until the file is complete."""
    return path.with_name(f"{hidden_name(path.name)}.{token_hex(4)}{ending}")


def identify(path: Path) -> dict[str, str | int | float]:
    """Return the identity of a file: its name, its size in bytes, and its modification time."""
    state = path.stat()
    return {"file": path.name, "bytes": state.st_size, "modified": state.st_mtime}


@contextmanager
def unfinished(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it is renamed to ``path`` in one step when the block ends.

    After an error in the block, or Ctrl-C, the temporary file is removed, and an existing file at ``path`` is
    unchanged. For a symbolic link, its target is replaced. For a pipe or a device, ``path`` itself is yielded.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    temporary = hidden_place(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, text: str) -> None:
    """Write text to a file as UTF-8, atomically; see ``unfinished``."""
    with unfinished(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
