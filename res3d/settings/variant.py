"""Member of a tagged union whose settings are checked when they are read, and which is built later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from res3d.settings.types import Value

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Variant(Generic[T_co]):
    """Settings of a dataclass that is built only when it is needed, for example because building it opens files.

    Keys and types are checked when the settings are read. The checks of the dataclass itself run in ``build``.
    """

    tag: str
    """Tag of the member in the union: "clips" for ``kind: clips``."""
    kind: type[T_co]
    """The dataclass of the tag."""
    given: Mapping[str, Value]
    """Plain values by field, as they were read, without the tag."""
    arguments: Mapping[str, Value]
    """The same values, converted to the types of the fields."""
    root: str = ""
    """Path of the setting in error messages."""

    def build(self) -> T_co:
        """Build the dataclass.

        Raises:
            ValueError: the dataclass refuses a value; the message begins with ``root``. Other errors of the dataclass,
                like FileNotFoundError, are passed on unchanged.
        """
        try:
            return self.kind(**self.arguments)
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}" if self.root else str(error)) from None
