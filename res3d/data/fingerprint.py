"""Fingerprint of files, to detect changes."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path


def hash_files(files: Iterable[Path], *values: object) -> str:
    """Return the SHA-256 of the paths, sizes and modification times of files, and of the ``repr`` of ``values``.

    The order of the files counts; their content is not read.
    """
    digest = sha256(repr(values).encode())
    folder, resolved = Path(), Path()
    for file in files:
        if file.parent != folder:  # resolve once per folder: it is the slowest step, and a video can be 1000 images
            folder, resolved = file.parent, file.parent.resolve()
        state = file.stat()
        digest.update(f"\n{resolved / file.name} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()
