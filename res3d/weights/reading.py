"""Reading of checkpoint files into plain dictionaries of tensors, without executing anything that a file contains."""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from res3d.weights.report import WeightsError

METADATA_KEY = "res3d"
"""Key of the metadata in safetensors files that res3d writes; its value is JSON."""
ARRAYS = (".npz", ".npy")
"""Suffixes of NumPy files, such as extracted features, which are not checkpoints."""

# The only objects that a pickle may refer to: NumPy's constructors of arrays and scalars, and plain containers.
# ``_codecs.encode`` only converts text to bytes; pickles of Python 2's strings use it.
_ALLOWED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding="latin1": text.encode(encoding),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    _ALLOWED[_module, "scalar"] = np._core.multiarray.scalar  # type: ignore[attr-defined]
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    _ALLOWED[_module, "_frombuffer"] = np._core.numeric._frombuffer  # type: ignore[attr-defined]


class TensorFile(Protocol):
    """An open safetensors file."""

    def keys(self) -> list[str]:
        """Return the names of the tensors."""

    def metadata(self) -> Mapping[str, str] | None:
        """Return the metadata of the file, or None."""

    def get_tensor(self, name: str) -> Tensor:
        """Read one tensor."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise WeightsError(f"the pickle refers to {module}.{name}, which is neither an array nor a plain container")


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file.

    The suffix decides the format: .safetensors; .pkl, a pickle of arrays from Caffe2 or detectron2; any other suffix
    (.pth, .pt, .pyth, .tar, .bin, ...), a file written by ``torch.save``. The result is as for ``unwrap``.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: a file without tensors, a damaged file, or a pickle of other objects than arrays.
    """
    path = _check_exists(path)
    try:
        if path.suffix in ARRAYS:
            raise WeightsError("NumPy arrays are not a checkpoint")
        if path.suffix == ".safetensors":
            with _open_safetensors(path) as file:
                return unwrap({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (not a mapping)
        data = _read_pickle(path) if path.suffix == ".pkl" and not _is_zip(path) else _read_torch(path)
        return unwrap(data)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def read_metadata(path: str | Path) -> str | None:
    """Read the metadata of a file that res3d wrote, as JSON text, without reading the tensors; None for other files.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: a damaged safetensors file.
    """
    path = _check_exists(path)
    if path.suffix != ".safetensors":
        return None
    try:
        with _open_safetensors(path) as file:
            metadata: str | None = (file.metadata() or {}).get(METADATA_KEY)
            return metadata
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def unwrap(data: object) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name.

    Enclosing dictionaries (``state_dict``, ``model_state``, ``model``, ``blobs``) are opened, arrays are converted to
    tensors, ``module.`` prefixes common to all names are removed, and other entries (epoch, optimizer, ...) are
    dropped.

    Raises:
        WeightsError: there is no tensor.
    """
    while isinstance(data, Mapping):
        inner = [
            data[key] for key in ("state_dict", "model_state", "model", "blobs") if isinstance(data.get(key), Mapping)
        ]
        if not inner:
            break
        data = inner[0]
    if not isinstance(data, Mapping):
        raise WeightsError(f"holds a {type(data).__name__}, not named tensors")
    tensors = {}
    for key, value in data.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            value = torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, Tensor):
            tensors[str(key)] = value
    if not tensors:
        raise WeightsError("holds no tensors")
    while all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def _check_exists(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    return path


@contextmanager
def _open_safetensors(path: Path) -> Iterator[TensorFile]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise WeightsError(f"not a safetensors file, or a damaged one ({error})") from None


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about pickle protocols of files that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        # The rest of torch's message advises to load the file with weights_only=False, which would execute its code.
        reason = str(error).strip().splitlines()[0].split(". ")[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"not a file of weights that torch can read ({reason})") from None


def _read_pickle(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"not a pickle of arrays, or a damaged one ({type(error).__name__}: {error})") from None
