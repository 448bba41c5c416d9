"""Markers for ``Annotated``: what a field of settings is, besides its type.

They are compared by identity, so that unions and lists may hold annotated types.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from res3d.settings.tables import resolve, words_of
from res3d.settings.types import Class


@dataclass(frozen=True, eq=False)
class Choice:
    """A closed set of words: ``dtype: Annotated[str, Choice(DTYPES)] = "auto"``."""

    table: Iterable[str] | str
    """The only list of the words: a sequence, or a table whose keys they are; "module:NAME" imports it when needed."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Other words, and the accepted ones that they stand for."""

    @property
    def words(self) -> tuple[str, ...]:
        """The accepted words, in the order of the table."""
        return words_of(self.table) if isinstance(self.table, str) else tuple(self.table)


@dataclass(frozen=True, eq=False)
class Tagged:
    """A tagged union: ``data: Annotated[Clips | Windows, Tagged(KINDS)]`` is read from ``{kind: clips, length: 16}``.

    A field of type ``Variant`` is read likewise, and built later, by its ``build``.
    """

    table: Mapping[str, Class | str] | str
    """The dataclass of each tag; text, "module:Class" or "module:TABLE" for the table, is imported when needed."""
    key: str = "kind"
    """The key that holds the tag."""
    bare: bool = False
    """Whether the tag alone stands for a member with its defaults: ``schedule: cosine``."""

    @property
    def tags(self) -> Mapping[str, Class | str]:
        """The table, imported."""
        table: Mapping[str, Class | str] = resolve(self.table) if isinstance(self.table, str) else self.table
        return table

    def type_of(self, tag: str) -> Class:
        """Return the dataclass of a tag; KeyError for a tag that is not in the table."""
        found = self.tags[tag]
        kind: Class = resolve(found) if isinstance(found, str) else found
        return kind


@dataclass(frozen=True, eq=False, init=False)
class Alias:
    """Other names of a field, as flags and as keys at the top of a config."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, eq=False, init=False)
class Deprecated(Alias):
    """Names that a field had once: accepted, but as flags with one line that names the new one."""


@dataclass(frozen=True, eq=False, init=False)
class Short:
    """Short names for the fields of a nested dataclass: ``link: Annotated[LinkSettings, Short()]``.

    ``--max-lost`` is then ``--link.max-lost``. Each pattern makes a name, "clip_{}" of ``length`` "clip_length"; the
    first is what ``--help`` shows.
    """

    patterns: tuple[str, ...]

    def __init__(self, *patterns: str) -> None:
        object.__setattr__(self, "patterns", patterns or ("{}",))


@dataclass(frozen=True, eq=False)
class Group:
    """The heading of ``--help`` under which a field stands; one of a nested dataclass stands under that one's name."""

    title: str


@dataclass(frozen=True, eq=False)
class Positional:
    """A list that takes the words of a command line that belong to no flag."""

    usage: str
    """How the usage line shows them: "IN OUT", "[VIDEO ...]"."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The word for a value in ``--help``, where that of its type says too little: ``--clip CxTxHxW``."""

    word: str
