"""A member of a tagged union that is checked now and built later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from res3d.settings.types import Value

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Variant(Generic[T_co]):
    """The settings of a dataclass that is built when it is needed, since building it opens files, say.

    Keys and types are checked when it is read; what the dataclass itself checks, when it is built.
    """

    tag: str
    """What the union's key says: ``kind: clips``."""
    kind: type[T_co]
    """The dataclass that the tag stands for."""
    given: Mapping[str, Value]
    """Plain values by field, as they were given, without the tag."""
    arguments: Mapping[str, Value]
    """The same values, of the fields' types."""
    root: str = ""
    """What errors call it: the path of the field that holds it."""

    def build(self) -> T_co:
        """Build the dataclass.

        Raises:
            ValueError: what the dataclass says, after its path. Other errors, like FileNotFoundError, are passed on.
        """
        try:
            return self.kind(**self.arguments)
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}" if self.root else str(error)) from None
