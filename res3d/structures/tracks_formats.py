"""The file formats of tracks: a table that is the only list of them.

A new format is a module with a ``TracksFormat``, and a line in ``FORMATS``. Modules are named as text and imported when
a format is asked for: they use ``VideoTracks``, whose methods use this table.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from res3d.settings import did_you_mean, missing_extra, resolve

LEFT_OUT = (
    *("masks", "keypoints", "keypoints_scores", "embeddings"),
    *("name", "num_frames", "fps", "size", "categories", "annotated"),
)
"""Fields that writers leave out without an error where the format does not hold them."""


class Video(Protocol):
    """What the table needs of ``VideoTracks``."""

    def filled_fields(self) -> tuple[str, ...]:
        """Return the names of optional fields that have a value."""


V = TypeVar("V", bound=Video)


def refuse_writing(video: object, path: Path) -> None:
    """Raise ValueError: what a format that is only read has as ``write``."""
    raise ValueError(f"{path}: files of its format are only read (written are {_listed('write')})")


def refuse_reading(path: Path, **facts: object) -> NoReturn:
    """Raise ValueError: what a format that is only written has as ``read``."""
    raise ValueError(f"{path}: files of its format are only written (read are {_listed('read')})")


@dataclass(frozen=True, kw_only=True, slots=True)
class TracksFormat(Generic[V]):
    """One file format; V is ``VideoTracks``."""

    name: str
    title: str
    """Name in messages, as in "MOTChallenge text"."""
    suffixes: tuple[str, ...]
    """Endings of file names. The first is that of a new file: NAME.txt, NAME.posetrack.json."""
    write: Callable[[V, Path], None] = refuse_writing
    """Writes one video, whole or not at all."""
    read: Callable[..., Mapping[str, V]] = refuse_reading
    """Takes a path and returns the file's videos by name.

    Keywords are fields of ``VideoTracks`` that the format does not hold: ``fps``, ``size``, ...
    """
    detect: Callable[[Path], bool] | None = None
    """Tells a file of this format from others of the same suffix. None: what no other format detects."""
    needs: str | None = None
    """Extra of res3d that installs what the format needs."""
    library: str | None = None
    """Module that this extra installs."""
    requires: frozenset[str] = frozenset()
    """Optional fields of ``Track`` without which nothing can be written."""
    holds: frozenset[str]
    """Optional fields of ``Track`` and ``VideoTracks`` that come back from a file."""

    def check_installed(self) -> None:
        """Import what the format needs.

        Raises:
            ImportError: it is not installed; says how to get it.
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
        """Refuse fields that the format does not hold, but for those of ``LEFT_OUT``.

        Raises:
            ValueError: names the fields.
        """
        if lost := [name for name in self.lacks(video) if name not in LEFT_OUT]:
            raise ValueError(f"{self.title} does not hold {', '.join(lost)}; VideoTracks.save leaves them out")


AnyFormat = TracksFormat[Any]


class FormatTable(Mapping[str, AnyFormat]):
    """Formats by name, imported when they are asked for.

    Args:
        places: "module:attribute" of each.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> AnyFormat:
        found: AnyFormat = resolve(self._places[name])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


FORMATS = FormatTable(  # of several formats with one suffix, the first is what is written
    {
        "cocovid": "res3d.structures.formats.cocovid:COCOVID",
        "mot": "res3d.structures.formats.mot:MOT",
        "posetrack": "res3d.structures.formats.posetrack:POSETRACK",
        "table": "res3d.structures.formats.table:TABLE",
    }
)


def format_to_write(path: Path, name: str | None = None) -> AnyFormat:
    """Return the format of that name, by default the one with the longest suffix that ends ``path``.

    Raises:
        ValueError: an unknown name or suffix; lists the formats.
    """
    return _of_suffix(path, "write")[0] if name is None else _named(name)


def format_to_read(path: Path, name: str | None = None) -> AnyFormat:
    """Return the format of that name, by default one that has the suffix of ``path``, chosen by the file's content.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown name or suffix; lists the formats.
    """
    if name is not None:
        return _named(name)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    fitting = _of_suffix(path, "read")
    if len(fitting) > 1:
        detected = [each for each in fitting if each.detect is not None and each.detect(path)]
        fitting = detected or [each for each in fitting if each.detect is None] or fitting
    return fitting[0]


def find_files(folder: Path) -> list[Path]:
    """Return the files of tracks in a folder and its subfolders, sorted: of formats that need no extra.

    Others stand beside them: ``res3d track --formats table`` writes a table of what is in the JSON file.
    """
    suffixes = tuple(folder_suffixes())
    return sorted(file for file in folder.rglob("*") if file.name.endswith(suffixes) and file.is_file())


def folder_suffixes() -> list[str]:
    """Return the suffixes of the files that ``find_files`` finds, without those that a shorter one covers."""
    found = dict.fromkeys(suffix for each in _able("read") if each.needs is None for suffix in each.suffixes)
    return [suffix for suffix in found if not any(suffix != other and suffix.endswith(other) for other in found)]


def _named(name: str) -> AnyFormat:
    if name not in FORMATS:
        raise ValueError(f"no tracks format {name!r}{did_you_mean(name, FORMATS)} (accepted: {', '.join(FORMATS)})")
    return FORMATS[name]


def _of_suffix(path: Path, what: str) -> list[AnyFormat]:
    """Return formats that can read or write, those with the longest suffix that fits first."""
    fitting = [(len(suffix), each) for each in _able(what) for suffix in each.suffixes if path.name.endswith(suffix)]
    if not fitting:
        done = "read from" if what == "read" else "written to"
        raise ValueError(f"{path}: tracks are {done} {_listed(what)}, not {path.suffix!r} files")
    return [each for _, each in sorted(fitting, key=lambda item: -item[0])]


def _able(what: str) -> list[AnyFormat]:
    """Return the formats that can "read" or "write"."""
    refusals = (refuse_reading, refuse_writing)
    return [each for each in FORMATS.values() if getattr(each, what) not in refusals]


def _listed(what: str) -> str:
    """Return the formats for an error message: "cocovid (.json), mot (.txt)"."""
    return ", ".join(f"{each.name} ({', '.join(each.suffixes)})" for each in _able(what))
