"""Markers for ``Annotated`` types of settings: choices, tagged unions, further names, headings of ``--help``.

Markers are compared by identity, so that annotated types are hashable and can be members of unions and lists.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from res3d.settings.tables import resolve, words_of
from res3d.settings.types import Class


@dataclass(frozen=True, eq=False)
class Choice:
    """A closed set of words: ``dtype: Annotated[str, Choice(DTYPES)] = "auto"``."""

    table: Iterable[str] | str
    """The accepted words: a sequence, or a table whose keys they are, or "module:NAME" of one, imported when needed."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Synonyms: further words that are read, and the accepted word that replaces each."""

    @property
    def words(self) -> tuple[str, ...]:
        """The accepted words, in the order of the table."""
        return words_of(self.table) if isinstance(self.table, str) else tuple(self.table)


@dataclass(frozen=True, eq=False)
class Tagged:
    """A tagged union: ``data: Annotated[Clips | Windows, Tagged(KINDS)]`` is read from ``{kind: clips, length: 16}``.

    A field of type ``Variant`` is read from the same mapping, and its ``build`` method builds the dataclass later.
    """

    table: Mapping[str, Class | str] | str
    """The dataclass of each tag. A dataclass as "module:Class", or the whole table as "module:TABLE", is imported when
    needed."""
    key: str = "kind"
    """The key of the tag in the mapping."""
    bare: bool = False
    """True if the tag alone is accepted for a member with its defaults: ``schedule: cosine``."""

    @property
    def tags(self) -> Mapping[str, Class | str]:
        """The dataclass of each tag. The table is imported here if it was a text; its dataclasses are not."""
        table: Mapping[str, Class | str] = resolve(self.table) if isinstance(self.table, str) else self.table
        return table

    def type_of(self, tag: str) -> Class:
        """Return the dataclass of a tag, imported if necessary.

        Raises:
            KeyError: the table does not have the tag.
        """
        entry = self.tags[tag]
        kind: Class = resolve(entry) if isinstance(entry, str) else entry
        return kind


@dataclass(frozen=True, eq=False, init=False)
class Alias:
    """Further names of a field, as flags and as keys at the top level of a configuration file."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, eq=False, init=False)
class Deprecated(Alias):
    """Old names of a field. They are accepted; used as a flag, they print one line with the new name."""


@dataclass(frozen=True, eq=False, init=False)
class Short:
    """Short names for the fields of a nested dataclass: ``link: Annotated[LinkSettings, Short()]``.

    ``--max-lost`` is then the same as ``--link.max-lost``. Each pattern makes one name per field: "clip_{}" makes
    "clip_length" for ``length``. ``--help`` shows the name of the first pattern.
    """

    patterns: tuple[str, ...]

    def __init__(self, *patterns: str) -> None:
        object.__setattr__(self, "patterns", patterns or ("{}",))


@dataclass(frozen=True, eq=False)
class Group:
    """Heading of ``--help`` for a field. Without it, the fields of a nested dataclass are under its field's name."""

    title: str


@dataclass(frozen=True, eq=False)
class Positional:
    """Marker of the list that takes the words of a command line without a flag."""

    usage: str
    """The words in the usage line: "IN OUT", "[VIDEO ...]"."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Placeholder for a value in ``--help``, instead of that of its type: ``--clip CxTxHxW``."""

    word: str
