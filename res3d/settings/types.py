"""Types of what this package handles, for which Python has no narrower ones."""

from typing import Any, TypeAlias

Hint: TypeAlias = Any
"""A type as it stands in an annotation: ``int``, ``list[str] | None``, ``Annotated[str, Choice(...)]``."""
Value: TypeAlias = Any
"""A value of a field: plain, as YAML holds it, or of the field's type."""
Class: TypeAlias = type[Value]
"""A dataclass."""
Json: TypeAlias = dict[str, Any]
"""An object as JSON holds it."""

ANYTHING: Hint = Any
"""The annotation that accepts every value."""
