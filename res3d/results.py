"""Result folders: one set of files per input, with metadata that tells whether it is finished and up to date."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeAlias

from res3d.files import UNFINISHED, hidden_name, identify, write_whole
from res3d.settings import shorten

Metadata: TypeAlias = Mapping[str, Any]

BOOKKEEPING = ("files", "path", "version", "description")  # metadata keys that do not affect the content of the files
IDENTITY = ("file", "bytes", "modified")  # keys of ``identify``
STALE_SECONDS = 3600.0  # age of an unfinished file after which its process is taken to have been killed
MOST_CHANGES = 3  # settings that a message names


@dataclass(frozen=True, kw_only=True)
class ResultFolder:
    """The files that a command writes for its inputs: for video.mp4, FOLDER/video.json and FOLDER/video_tracked.mp4.

    The main file of an input is written last. Its metadata contains the settings, the identity of the ``video`` (see
    ``identify``) and, if the command writes them, the names of all ``files`` and the ``path`` of the input. If the main
    file exists, the other files are complete. While the files of an input are written, a hidden claim file lists them.
    It distinguishes the files of a killed run from those of another program.
    """

    path: Path
    main: str
    """Ending of the name of the main file: ".json"."""
    others: tuple[str, ...] = ()
    """Endings of the names of the other files of an input."""
    read_metadata: Callable[[Path], Metadata | None]
    """Returns the metadata of a main file; {} for a damaged file, None for a file that the command did not write."""
    ignored: tuple[str, ...] = ()
    """Keys of the metadata that do not affect the content of the files."""
    overwrite: bool = False
    """True to replace any file except inputs, and to compute finished files again."""

    def files(self, name: str) -> list[Path]:
        """Return the paths of all files of an input, the main file first. ``name`` is the stem of the input."""
        return [self.file(name, ending) for ending in (self.main, *self.others)]

    def file(self, name: str, ending: str) -> Path:
        """Return the path of one file of an input."""
        return self.path / f"{name}{ending}"

    def partials(self, name: str) -> list[Path]:
        """Return the paths for the results of an interrupted run: NAME.partial.json for NAME.json."""
        return [file.with_suffix(f".partial{file.suffix}") for file in self.files(name)]

    def make(self) -> None:
        """Create the folder if it does not exist, and check that files can be written to it.

        Raises:
            OSError: they cannot.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=self.path):
            pass

    def check(self, inputs: Sequence[Path], also_read: Sequence[Path] = ()) -> None:
        """Check that no input file and no file of another program will be overwritten.

        Raises:
            ValueError: one would be; the message names the file.
        """
        sources = {path.resolve() for path in (*inputs, *also_read)}
        for source in inputs:
            existing = [file for file in self.files(source.stem) if file.exists() or file.resolve() in sources]
            state = self._state(source.stem) if existing else None
            for file in existing:
                if file.resolve() in sources:
                    raise ValueError(f"{file} is an input and would be overwritten; choose another --out")
                if state is not None and not self.overwrite and not state.belongs_to(file, source):
                    raise ValueError(
                        f"{file} exists and was not made from {source.name} here (--overwrite replaces it)"
                    )

    def is_finished(self, source: Path, metadata: Metadata) -> bool:
        """Return True if all files of an input exist and were made with these settings; False with ``overwrite``."""
        if self.overwrite:
            return False
        state = self._state(source.stem)
        complete = all(file.is_file() and file.name in state.files for file in self.files(source.stem))
        return complete and bool(state.metadata) and not self._changes(state.metadata or {}, metadata)

    def replacement(self, source: Path, metadata: Metadata) -> str | None:
        """Return one line with the file that is replaced and the reason; None if the main file does not exist."""
        main = self.file(source.stem, self.main)
        if not main.exists():
            return None
        before = self._state(source.stem).metadata
        changes = self._changes(before, metadata) if before else ["its metadata cannot be read"]
        changes = changes or ["--overwrite" if self.overwrite else "other files are requested"]
        more = f" and {len(changes) - MOST_CHANGES} more" if len(changes) > MOST_CHANGES else ""
        return f"{main} is replaced: {', '.join(changes[:MOST_CHANGES])}{more}"

    def bookkeeping(self, source: Path) -> Metadata:
        """Return the keys ``files`` and ``path`` for the metadata of the main file of an input."""
        return {"files": [file.name for file in self.files(source.stem)], "path": str(source.resolve())}

    @contextmanager
    def writing(self, source: Path) -> Iterator[None]:
        """Context in which the files of an input are written, the main file last.

        At its start, files of other settings and of killed runs are removed; at its end, those of interrupted runs.
        """
        name, claim = source.stem, self._claim(source.stem)
        state = self._state(name)
        self._remove_stale(name, state.claim)
        if self.others or len(state.files) > 1:  # old and new files would be mixed; a single file is just replaced
            for file_name in state.files:
                (self.path / Path(file_name).name).unlink(missing_ok=True)
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "video": identify(source)}
        write_whole(claim, json.dumps({**self.bookkeeping(source), **owner}))
        try:
            yield
        except BaseException:
            if not any(self.file(name, ending).exists() for ending in self.others):
                claim.unlink(missing_ok=True)
            raise
        for file in (*self.partials(name), claim):
            with suppress(OSError):  # the name of a partial file may be too long for the file system
                file.unlink()

    def is_result(self, file: Path) -> bool:
        """Return True if the command wrote ``file`` for some input."""
        endings = [ending for ending in self.others if file.name.endswith(ending)]
        return any(file.name in self._state(file.name.removesuffix(ending)).files for ending in endings)

    def _state(self, name: str) -> "_State":
        main = self.file(name, self.main)
        metadata = self.read_metadata(main) if main.is_file() else None
        claim = _read_json(self._claim(name))
        finished = [] if metadata is None else metadata.get("files", [main.name])
        return _State(metadata=metadata, claim=claim, files=(*map(str, finished), *map(str, claim.get("files", ()))))

    def _claim(self, name: str) -> Path:
        return self.path / f"{hidden_name(name + self.main)}.claim"

    def _changes(self, before: Metadata, metadata: Metadata) -> list[str]:
        """Return the settings that differ: "sampler.stride was 16, is 8"."""
        now = json.loads(json.dumps(metadata))
        keys = [key for key in now if key not in (*self.ignored, *BOOKKEEPING)]
        return [line for key in keys for line in _differences(key, before.get(key), now[key])]

    def _remove_stale(self, name: str, claim: Metadata) -> None:
        killed = claim.get("host") == socket.gethostname() and not _is_running(claim.get("pid"))
        for file in self.files(name):
            for unfinished in self.path.glob(f"{escape(hidden_name(file.name))}.*{UNFINISHED}*"):
                if killed or time.time() - unfinished.stat().st_mtime > STALE_SECONDS:
                    unfinished.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class _State:
    """Metadata of the existing files of one input."""

    metadata: Metadata | None
    """Metadata of the main file; None if there is no main file that the command wrote."""
    claim: Metadata
    """Content of the claim file of an unfinished run; {} without such a file."""
    files: tuple[str, ...]
    """Names of the files in the metadata and in the claim."""

    def belongs_to(self, file: Path, source: Path) -> bool:
        """Return True if the command wrote ``file`` for ``source``, or did not record for which input."""
        if file.name not in self.files:
            return False
        for record in (self.metadata or {}, self.claim):
            if "path" in record and record["path"] != str(source.resolve()):
                return source.exists() and _same_file(record.get("video"), identify(source))
        return True


def _read_json(path: Path) -> Metadata:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _same_file(before: object, now: object) -> bool:
    return (
        isinstance(before, Mapping)
        and isinstance(now, Mapping)
        and all(before.get(part) == now.get(part) for part in IDENTITY)
    )


def _differences(key: str, before: object, now: object) -> list[str]:
    if key == "video":
        return [] if _same_file(before, now) else ["the video file changed"]
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        parts = dict.fromkeys((*before, *now))
        return [line for part in parts for line in _differences(f"{key}.{part}", before.get(part), now.get(part))]
    if before == now:
        return []
    are_numbers = all(value is None or isinstance(value, (bool, int, float)) for value in (before, now))
    are_words = all(isinstance(value, str) and len(value) < 40 for value in (before, now))
    return [f"{key} was {shorten(before)}, is {shorten(now)}" if are_numbers or are_words else f"{key} changed"]


def _is_running(pid: object) -> bool:
    """Return True if a process with this id runs on this machine."""
    try:
        os.kill(int(str(pid)), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except OSError:
        return True
    return True
