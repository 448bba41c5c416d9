"""Table of the file formats of tracks, ``FORMATS``.

To add a format, write a module with a ``TracksFormat`` and add an entry to ``FORMATS``. The table names modules as text
and imports them on first use, because they import ``VideoTracks``, whose methods use this table.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar

from res3d.settings import did_you_mean, missing_extra, resolve

LEFT_OUT = (
    *("masks", "keypoints", "keypoints_scores", "embeddings"),
    *("name", "num_frames", "fps", "size", "categories", "annotated"),
)
"""Fields that writers drop without an error if the format does not hold them."""


class Video(Protocol):
    """The method of ``VideoTracks`` that the formats use."""

    def filled_fields(self) -> tuple[str, ...]:
        """Return the names of optional fields that have a value."""


V = TypeVar("V", bound=Video)


def refuse_writing(video: object, path: Path) -> None:
    """Raise ValueError; the ``write`` function of formats that can only be read."""
    raise ValueError(f"{path}: this format can be read but not written (writable: {_list_formats('write')})")


def refuse_reading(path: Path, **metadata: object) -> NoReturn:
    """Raise ValueError; the ``read`` function of formats that can only be written."""
    raise ValueError(f"{path}: this format can be written but not read (readable: {_list_formats('read')})")


@dataclass(frozen=True, kw_only=True, slots=True)
class TracksFormat(Generic[V]):
    """Description of one file format; V is ``VideoTracks``."""

    name: str
    """Name in ``FORMATS``."""
    title: str
    """Name in messages, such as "MOTChallenge text"."""
    suffixes: tuple[str, ...]
    """Suffixes of file names. New files get the first: NAME.txt, NAME.posetrack.json."""
    write: Callable[[V, Path], None] = refuse_writing
    """Function that writes one video. After an error no partial file remains."""
    read: Callable[..., Mapping[str, V]] = refuse_reading
    """Function that returns the videos of a file by name.

    Its keyword arguments are fields of ``VideoTracks`` that the format does not hold: ``fps``, ``size``, ...
    """
    detect: Callable[[Path], bool] | None = None
    """Function that returns True for a file of this format; it separates formats with the same suffix.

    None: the format is used for files that no other format detects.
    """
    needs: str | None = None
    """Extra of res3d that installs ``library``."""
    library: str | None = None
    """Module that the format imports."""
    requires: frozenset[str] = frozenset()
    """Optional fields of ``Track`` that every track needs for writing."""
    holds: frozenset[str]
    """Optional fields of ``Track`` and ``VideoTracks`` that a file of this format stores."""

    def check_installed(self) -> None:
        """Import the library that the format needs.

        Raises:
            ImportError: the library is not installed; the message contains the command that installs it.
        """
        if self.library is not None and self.needs is not None:
            try:
                import_module(self.library)
            except ImportError:
                raise missing_extra(self.needs, f"{self.title} needs {self.library}") from None

    def lacks(self, video: V) -> tuple[str, ...]:
        """Return the names of optional fields with a value that the format does not hold."""
        return tuple(name for name in video.filled_fields() if name not in self.holds)

    def check(self, video: V) -> None:
        """Check that the format holds all fields of a video that have a value, except those in ``LEFT_OUT``.

        Raises:
            ValueError: the format does not hold some fields; the message names them.
        """
        if lost := [name for name in self.lacks(video) if name not in LEFT_OUT]:
            raise ValueError(f"{self.title} does not hold {', '.join(lost)}; use VideoTracks.save, which drops them")


AnyFormat = TracksFormat[Any]


class FormatTable(Mapping[str, AnyFormat]):
    """Formats by name, imported on access.

    Args:
        locations: "module:attribute" of each format.
    """

    def __init__(self, locations: Mapping[str, str]) -> None:
        self._locations = dict(locations)

    def __getitem__(self, name: str) -> AnyFormat:
        tracks_format: AnyFormat = resolve(self._locations[name])
        return tracks_format

    def __iter__(self) -> Iterator[str]:
        return iter(self._locations)

    def __len__(self) -> int:
        return len(self._locations)


FORMATS = FormatTable(  # if several formats have a suffix, the first one is written
    {
        "cocovid": "res3d.structures.formats.cocovid:COCOVID",
        "mot": "res3d.structures.formats.mot:MOT",
        "posetrack": "res3d.structures.formats.posetrack:POSETRACK",
        "table": "res3d.structures.formats.table:TABLE",
    }
)


def format_to_write(path: Path, name: str | None = None) -> AnyFormat:
    """Return the format with this name; without a name, the one with the longest suffix that matches ``path``.

    Raises:
        ValueError: the name or suffix is unknown; the message lists the formats.
    """
    return _by_suffix(path, "write")[0] if name is None else _by_name(name)


def format_to_read(path: Path, name: str | None = None) -> AnyFormat:
    """Return the format with this name; without a name, one with the suffix of ``path``, chosen by the file's content.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the name or suffix is unknown; the message lists the formats.
    """
    if name is not None:
        return _by_name(name)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    candidates = _by_suffix(path, "read")
    if len(candidates) > 1:
        detected = [each for each in candidates if each.detect is not None and each.detect(path)]
        candidates = detected or [each for each in candidates if each.detect is None] or candidates
    return candidates[0]


def find_files(folder: Path) -> list[Path]:
    """Return the files of tracks in a folder and its subfolders, sorted; only formats that need no extra.

    Files of other formats may repeat them: ``res3d track --formats table`` writes the tracks of the JSON file again.
    """
    suffixes = tuple(folder_suffixes())
    return sorted(file for file in folder.rglob("*") if file.name.endswith(suffixes) and file.is_file())


def folder_suffixes() -> list[str]:
    """Return the suffixes of the files that ``find_files`` returns, without those that end in a shorter one."""
    suffixes = dict.fromkeys(suffix for each in _formats_that("read") if each.needs is None for suffix in each.suffixes)
    return [suffix for suffix in suffixes if not any(suffix != other and suffix.endswith(other) for other in suffixes)]


def _by_name(name: str) -> AnyFormat:
    if name not in FORMATS:
        raise ValueError(f"no tracks format {name!r}{did_you_mean(name, FORMATS)} (accepted: {', '.join(FORMATS)})")
    return FORMATS[name]


def _by_suffix(path: Path, action: Literal["read", "write"]) -> list[AnyFormat]:
    """Return the formats with a suffix that matches ``path`` and support for ``action``, longest suffix first."""
    candidates = [
        (len(suffix), each) for each in _formats_that(action) for suffix in each.suffixes if path.name.endswith(suffix)
    ]
    if not candidates:
        raise ValueError(f"{path}: cannot {action} tracks in {path.suffix!r} files (accepted: {_list_formats(action)})")
    return [each for _, each in sorted(candidates, key=lambda candidate: -candidate[0])]


def _formats_that(action: Literal["read", "write"]) -> list[AnyFormat]:
    """Return the formats that support ``action``."""
    refusals = (refuse_reading, refuse_writing)
    return [each for each in FORMATS.values() if getattr(each, action) not in refusals]


def _list_formats(action: Literal["read", "write"]) -> str:
    """Return the formats that support ``action`` for an error message: "cocovid (.json), mot (.txt)"."""
    return ", ".join(f"{each.name} ({', '.join(each.suffixes)})" for each in _formats_that(action))
