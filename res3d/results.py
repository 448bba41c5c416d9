"""Folders of results: a set of files for each input, of which it is known what made them and whether it is finished."""

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

BOOKKEEPING = ("files", "path", "version", "description")  # keys of metadata that never decide what the files hold
IDENTITY = ("file", "bytes", "modified")  # what an input is known by
STALE_SECONDS = 3600.0  # an unfinished file that nobody wrote to for so long was left by a process that was killed
SHOWN_CHANGES = 3  # settings that a message names


@dataclass(frozen=True, kw_only=True)
class ResultFolder:
    """The files that a command writes for its inputs: for video.mp4, FOLDER/video.json and FOLDER/video_tracked.mp4.

    Each input's main file is written last and holds metadata: with which settings the files were made, from which
    ``video`` (see ``identify``) and, if the command writes them, the names of all ``files`` and the ``path`` of the
    input. Where the main file is, the others are. While a set of files is written, a hidden claim stands beside them,
    by which a run that was killed is told from another program's files.
    """

    path: Path
    main: str
    """What the name of an input's main file ends in: ".json"."""
    others: tuple[str, ...] = ()
    """What the names of its other files end in."""
    read_metadata: Callable[[Path], Metadata | None]
    """Metadata of a main file; {} of one that is damaged, None of a file that the command did not make."""
    ignored: tuple[str, ...] = ()
    """Keys of the metadata that do not decide what the files hold."""
    overwrite: bool = False
    """Replace anything but inputs, and make finished files again."""

    def files(self, name: str) -> list[Path]:
        """Return all files of the input of that name, the main one first."""
        return [self.file(name, ending) for ending in (self.main, *self.others)]

    def file(self, name: str, ending: str) -> Path:
        """Return the file of the input of that name with that ending."""
        return self.path / f"{name}{ending}"

    def partials(self, name: str) -> list[Path]:
        """Return where interrupted work on an input's files is kept: NAME.partial.json beside NAME.json."""
        return [file.with_suffix(f".partial{file.suffix}") for file in self.files(name)]

    def make(self) -> None:
        """Make the folder if it is absent, and make sure that files can be written into it.

        Raises:
            OSError: they cannot.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=self.path):
            pass

    def check(self, inputs: Sequence[Path], also_read: Sequence[Path] = ()) -> None:
        """Make sure that nothing will be written over what is read, or over files that the command did not make.

        Raises:
            ValueError: something would be; names the file.
        """
        read = {path.resolve() for path in (*inputs, *also_read)}
        for source in inputs:
            there = [file for file in self.files(source.stem) if file.exists() or file.resolve() in read]
            state = self._state(source.stem) if there else None
            for file in there:
                if file.resolve() in read:
                    raise ValueError(f"{file} would be written, and is read; choose another --out")
                if state is not None and not self.overwrite and not state.made(file, source):
                    raise ValueError(
                        f"{file} exists and was not made from {source.name} here (--overwrite replaces it)"
                    )

    def is_finished(self, source: Path, metadata: Metadata) -> bool:
        """Return True if all files of an input are there, made with these settings, and may stay."""
        if self.overwrite:
            return False
        state = self._state(source.stem)
        there = all(file.is_file() and file.name in state.files for file in self.files(source.stem))
        return there and bool(state.metadata) and not self._changes(state.metadata or {}, metadata)

    def replacement(self, source: Path, metadata: Metadata) -> str | None:
        """Return the line that says what is replaced, and why; None if there is nothing yet."""
        main = self.file(source.stem, self.main)
        if not main.exists():
            return None
        before = self._state(source.stem).metadata
        changes = self._changes(before, metadata) if before else ["what made it is not known"]
        changes = changes or ["--overwrite" if self.overwrite else "other files were asked for"]
        more = f" and {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
        return f"{main} is replaced: {', '.join(changes[:SHOWN_CHANGES])}{more}"

    def bookkeeping(self, source: Path) -> Metadata:
        """Return the ``files`` and the ``path`` for the metadata of an input's main file."""
        return {"files": [file.name for file in self.files(source.stem)], "path": str(source.resolve())}

    @contextmanager
    def writing(self, source: Path) -> Iterator[None]:
        """While it lasts, the files of an input are written, the main one last.

        Files of other settings, of killed runs and, once all is done, of interrupted ones are removed.
        """
        name, claim = source.stem, self._claim(source.stem)
        state = self._state(name)
        self._remove_stale(name, state.claim)
        if self.others or len(state.files) > 1:  # one by one they would not fit together; a single file is replaced
            for made in state.files:
                (self.path / Path(made).name).unlink(missing_ok=True)
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "video": identify(source)}
        write_whole(claim, json.dumps({**self.bookkeeping(source), **owner}))
        try:
            yield
        except BaseException:
            if not any(self.file(name, ending).exists() for ending in self.others):
                claim.unlink(missing_ok=True)
            raise
        for file in (*self.partials(name), claim):
            with suppress(OSError):  # the name of a partial file may be too long for there to be one
                file.unlink()

    def made(self, file: Path) -> bool:
        """Return True if ``file`` is in the folder and the command made it of some input."""
        endings = [ending for ending in self.others if file.name.endswith(ending)]
        return any(file.name in self._state(file.name.removesuffix(ending)).files for ending in endings)

    def _state(self, name: str) -> "_State":
        main = self.file(name, self.main)
        metadata = self.read_metadata(main) if main.is_file() else None
        claim = _read_json(self._claim(name))
        made = [] if metadata is None else metadata.get("files", [main.name])
        return _State(metadata=metadata, claim=claim, files=(*map(str, made), *map(str, claim.get("files", ()))))

    def _claim(self, name: str) -> Path:
        return self.path / f"{hidden_name(name + self.main)}.claim"

    def _changes(self, before: Metadata, metadata: Metadata) -> list[str]:
        """The settings that differ, "sampler.stride was 16, is 8"."""
        now = json.loads(json.dumps(metadata))
        keys = [key for key in now if key not in (*self.ignored, *BOOKKEEPING)]
        return [line for key in keys for line in _differences(key, before.get(key), now[key])]

    def _remove_stale(self, name: str, claim: Metadata) -> None:
        killed = claim.get("host") == socket.gethostname() and not _is_running(claim.get("pid"))
        for file in self.files(name):
            for left in self.path.glob(f"{escape(hidden_name(file.name))}.*{UNFINISHED}*"):
                if killed or time.time() - left.stat().st_mtime > STALE_SECONDS:
                    left.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class _State:
    """What is known of the files of one input."""

    metadata: Metadata | None
    """Of the main file; None if there is none that the command made."""
    claim: Metadata
    """Of the files that a run began; empty if none did, or it ended."""
    files: tuple[str, ...]
    """Names of the files that were made or begun."""

    def made(self, file: Path, source: Path) -> bool:
        """True if the command made ``file`` of ``source``, or it is not known of what."""
        if file.name not in self.files:
            return False
        for made in (self.metadata or {}, self.claim):
            if "path" in made and made["path"] != str(source.resolve()):
                return source.exists() and _same_file(made.get("video"), identify(source))
        return True


def _read_json(path: Path) -> Metadata:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _same_file(before: object, now: object) -> bool:
    return (
        isinstance(before, Mapping)
        and isinstance(now, Mapping)
        and all(before.get(part) == now.get(part) for part in IDENTITY)
    )


def _differences(key: str, before: object, now: object) -> list[str]:
    if key == "video":
        return [] if _same_file(before, now) else ["made from another file"]
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        parts = dict.fromkeys((*before, *now))
        return [line for part in parts for line in _differences(f"{key}.{part}", before.get(part), now.get(part))]
    if before == now:
        return []
    short = all(value is None or isinstance(value, (bool, int, float)) for value in (before, now))
    words = all(isinstance(value, str) and len(value) < 40 for value in (before, now))
    return [f"{key} was {shorten(before)}, is {shorten(now)}" if short or words else f"another {key}"]


def _is_running(pid: object) -> bool:
    """True unless there is no process of that number on this machine."""
    try:
        os.kill(int(str(pid)), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except OSError:
        return True
    return True
