"""Registered weights on disk: downloaded on first use into the cache of ``torch.hub``, and checked by SHA-256."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import torch

from res3d.files import write_whole
from res3d.weights.registry import WeightsEntry
from res3d.weights.report import WeightsError


def fetch_weights(entry: WeightsEntry, *, progress: bool = True) -> Path:
    """Return the path of a registered weights file; download the file if it is not in the cache.

    The cache is the folder ``checkpoints`` of ``torch.hub.get_dir()``, which ``TORCH_HOME`` and ``torch.hub.set_dir``
    change. The file is checked against the published SHA-256. If none is published, the hash of the first use is
    recorded in a file beside it, and later uses are checked against that record.

    Args:
        entry: the registry entry.
        progress: show a progress bar while downloading.

    Raises:
        WeightsError: the download failed (the message names the URL, and the path at which to put the file), or the
            file has another hash.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / entry.file_name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(entry.url, str(path), hash_prefix=entry.sha256, progress=progress)
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise WeightsError(
                f"{entry.name} is not on this machine and cannot be downloaded ({reason}); "
                f"download {entry.url} and save it as {path}"
            ) from None
        except RuntimeError as error:  # torch.hub raises it when the hash differs
            raise WeightsError(f"{entry.name}: the file at {entry.url} is not the published one ({error})") from None
    _check_hash(path, entry)
    return path


def _check_hash(path: Path, entry: WeightsEntry) -> None:
    digest = _sha256(path)
    if entry.sha256 is not None:
        if not digest.startswith(entry.sha256):
            raise WeightsError(
                f"{path} has SHA-256 {digest[:16]}..., and {entry.name} was published as {entry.sha256}...; "
                "delete it to download it again"
            )
        return
    record = path.with_name(path.name + ".sha256")
    if not record.exists():
        write_whole(record, f"{digest}  {path.name}\n")
    elif record.read_text(encoding="ascii").split()[0] != digest:
        raise WeightsError(
            f"{path} has changed since its first use, whose SHA-256 is in {record}; delete both to download it again"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
