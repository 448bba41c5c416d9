"""Type aliases for values whose type depends on the annotation of a field; Python has no narrower types for them."""

from typing import Any, TypeAlias

Hint: TypeAlias = Any
"""A type in an annotation: ``int``, ``list[str] | None``, ``Annotated[str, Choice(...)]``."""
Value: TypeAlias = Any
"""A value of a field: a plain value as in YAML, or a value of the field's type."""
Class: TypeAlias = type[Value]
"""A dataclass."""
Json: TypeAlias = dict[str, Any]
"""A JSON object."""

ANYTHING: Hint = Any
"""The annotation that accepts every value."""
