"""Fingerprint of files, which tells whether they are still the same."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path


def hash_files(files: Iterable[Path], *values: object) -> str:
    """SHA-256 of the paths, sizes and times of writing of files, in order, and of the ``repr`` of ``values``."""
    digest = sha256(repr(values).encode())
    folder, resolved = Path(), Path()
    for file in files:
        if file.parent != folder:  # resolving takes longer than all the rest, and a video can be a thousand pictures
            folder, resolved = file.parent, file.parent.resolve()
        state = file.stat()
        digest.update(f"\n{resolved / file.name} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()
