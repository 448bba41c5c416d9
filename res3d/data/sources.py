"""What tells whether the files that clips are made of are still the same."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any


def hash_files(files: Iterable[Path], *facts: Any) -> str:
    """SHA-256 of files' places, sizes and times of writing, in order, and of the ``repr`` of ``facts``."""
    digest = sha256(repr(facts).encode())
    folder, place = Path(), Path()
    for file in files:
        if file.parent != folder:  # resolving takes longer than all the rest, and a video can be a thousand pictures
            folder, place = file.parent, file.parent.resolve()
        state = file.stat()
        digest.update(f"\n{place / file.name} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()
