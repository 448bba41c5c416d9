"""Registered weights on disk: downloaded on first use, checked, and kept where ``torch.hub`` keeps its own."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import torch

from res3d.files import write_whole
from res3d.weights.registry import WeightsEntry
from res3d.weights.report import WeightsError


def fetch_weights(entry: WeightsEntry, *, progress: bool = True) -> Path:
    """The file of registered weights, downloaded if it is not there yet.

    It is kept in ``torch.hub``'s folder (``TORCH_HOME`` and ``torch.hub.set_dir`` are honoured) and checked against the
    origin's SHA-256. Where the origin publishes none, the hash of the first use is recorded beside the file, and a file
    that has changed since is refused.

    Raises:
        WeightsError: no network, or a file of another hash; the message says what to fetch and where to put it.
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
                f"{entry.name} is not here and cannot be downloaded ({reason}); fetch {entry.url} and put it at {path}"
            ) from None
        except RuntimeError as error:  # torch.hub's word for a hash that differs
            raise WeightsError(f"{entry.name}: what {entry.url} sent is not what was published ({error})") from None
    _check(path, entry)
    return path


def _check(path: Path, entry: WeightsEntry) -> None:
    found = _sha256(path)
    if entry.sha256 is not None:
        if not found.startswith(entry.sha256):
            raise WeightsError(
                f"{path} has SHA-256 {found[:16]}..., and {entry.name} was published as {entry.sha256}...; "
                "delete it to download it again"
            )
        return
    record = path.with_name(path.name + ".sha256")
    if not record.exists():
        write_whole(record, f"{found}  {path.name}\n")
    elif record.read_text(encoding="ascii").split()[0] != found:
        raise WeightsError(
            f"{path} has changed since its first use, whose SHA-256 {record} records; delete both to start anew"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
