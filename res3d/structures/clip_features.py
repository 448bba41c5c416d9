"""Features of a video's clips, with frame numbers and times, and their ``.npz`` file."""

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

import numpy as np
from numpy.lib import format as npy

from res3d.files import unfinished
from res3d.settings.types import Json, Value
from res3d.structures.arrays import Array
from res3d.structures.row_fields import declarations
from res3d.structures.row_kinds import ArrayField
from res3d.structures.rows import Doubles, Floats, Integers, ObjectRows, object_rows, rows

Meta = Mapping[str, object]


@object_rows
class ClipFeatures(ObjectRows):
    """Features of a video's clips, one row per clip. Times are seconds from the presentation of its first frame.

    Raises:
        ValueError: an array has the wrong shape or dtype.
    """

    features: Floats = rows("clips ...")
    """[clips, C], or feature maps [clips, C, T', H', W']."""
    frame_indices: Integers = rows("clips length", np.int64)
    """[clips, length] frame numbers in the video, from 0; padding repeats a frame."""
    frame_times: Doubles = rows("clips length", np.float64)
    """[clips, length] time of each frame."""
    start_time: Doubles = rows("clips", np.float64)
    """[clips] time of the first frame."""
    end_time: Doubles = rows("clips", np.float64)
    """[clips] time of the last frame plus the duration of that frame."""
    meta: Meta = field(default_factory=dict)
    """Metadata on the origin of the features; JSON values."""

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file. After an error no partial file remains."""
        with ClipFeaturesWriter(path) as writer:
            writer.append(self)
            writer.finish(self.meta)

    @classmethod
    def concatenate(
        cls, parts: "Sequence[ClipFeatures]", meta: Meta | None = None, *, pad: bool = False, **overrides: Value
    ) -> "ClipFeatures":
        """Join the rows of all parts, in order; see ``ObjectRows``. ``meta`` is optional if all parts have the same."""
        overrides = overrides if meta is None else {**overrides, "meta": meta}
        return super(ClipFeatures, cls).concatenate(parts, pad=pad, **overrides)  # noqa: UP008 (super() fails in classes with slots)

    @classmethod
    def load(cls, path: str | Path) -> "ClipFeatures":
        """Read an ``.npz`` file without unpickling, so that no code from the file is executed.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is damaged or holds no clip features.
        """
        arrays, meta = _read(path, tuple(DTYPES))
        try:
            return cls(**arrays, meta=meta)
        except ValueError as error:
            raise ValueError(f"{path}: not a file of clip features ({error})") from None

    @staticmethod
    def load_meta(path: str | Path) -> Json:
        """Return the ``meta`` of a file without reading its features; raises the same errors as ``load``."""
        return _read(path, ())[1]


def _read(path: str | Path, names: tuple[str, ...]) -> tuple[Json, dict[str, Array]]:
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
            meta = json.loads(str(file["meta"]))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged zip or npy file can raise any error
        raise ValueError(f"{path}: not a file of clip features, or a damaged one ({error})") from None
    if not isinstance(meta, dict):
        raise ValueError(f"{path}: not a file of clip features (meta is {type(meta).__name__}, not an object)")
    return arrays, meta


DTYPES = {name: np.dtype(d.dtype) for name, d in declarations(ClipFeatures) if isinstance(d, ArrayField)}


class ClipFeaturesWriter:
    """Writer of an ``.npz`` file of clip features, batch by batch, with memory use independent of the number of clips.

    An ``.npy`` header precedes the data and contains the number of rows, so rows are stored in temporary files until
    ``finish``. The complete ``.npz`` appears under its name only then; without ``finish``, no file is created.

    Args:
        path: the file to write; its folder must exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rows: dict[str, IO[bytes]] = {}
        self._tails: dict[str, tuple[int, ...]] = {}
        self.num_clips = 0

    def append(self, batch: ClipFeatures) -> None:
        """Add the rows of a batch.

        Raises:
            ValueError: the rows have another shape than those of the first batch.
        """
        for name in DTYPES:
            array: Array = getattr(batch, name)
            tail = self._tails.setdefault(name, array.shape[1:])
            if tail != array.shape[1:]:
                raise ValueError(
                    f"rows of {name} must be {list(tail)}, as in the first batch, not {list(array.shape[1:])}"
                )
            if name not in self._rows:
                self._rows[name] = TemporaryFile(dir=self.path.parent)  # noqa: SIM115 (closed in close)
            self._rows[name].write(np.ascontiguousarray(array).data)
        self.num_clips += len(batch)

    def finish(self, meta: Meta) -> None:
        """Write the file under its name.

        Args:
            meta: metadata, JSON values.

        Raises:
            ValueError: no batch was appended, so the shapes are unknown.
        """
        if not self._rows:
            raise ValueError("nothing to write: no batch of features was appended")
        with unfinished(self.path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, dtype in DTYPES.items():
                rows_file = self._rows[name]
                rows_file.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    shape = (self.num_clips, *self._tails[name])
                    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                    npy.write_array_header_2_0(member, header)
                    shutil.copyfileobj(rows_file, member, 1 << 20)
            with archive.open("meta.npy", "w") as member:
                npy.write_array(member, np.array(json.dumps(meta)), allow_pickle=False)

    def close(self) -> None:
        """Delete the temporary files."""
        for file in self._rows.values():
            file.close()
        self._rows.clear()

    def __enter__(self) -> "ClipFeaturesWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
