"""Fields of a dataclass of settings: types, markers, defaults and docstrings."""

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, TypeVar, get_args, get_origin, get_type_hints

from res3d.settings.markers import Tagged
from res3d.settings.types import Class, Hint, Value

Mark = TypeVar("Mark")
T = TypeVar("T")


def once_per_class(function: Callable[[Class], T]) -> Callable[[Class], T]:
    """Cache the results of a function that takes a class."""
    return cache(function)  # type: ignore[return-value]  # mypy takes classes to be unhashable


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One field of a dataclass of settings."""

    name: str
    hint: Hint
    """The type, with its markers."""
    default: Value
    """Default value; ``dataclasses.MISSING`` if the field is required."""
    doc: str
    """The docstring under the field, on one line; "" if it has no docstring."""

    @property
    def bare(self) -> Value:
        """The type without markers."""
        return without_markers(self.hint)

    @property
    def nested(self) -> bool:
        """True if the type is a dataclass whose fields are settings of their own, and not a tagged union."""
        return isinstance(self.bare, type) and is_dataclass(self.bare) and not markers_of(self.hint, Tagged)

    def mark(self, kind: type[Mark]) -> Mark | None:
        """Return the first marker of exactly this class, subclasses excluded, or None."""
        return next((mark for mark in markers_of(self.hint, kind) if type(mark) is kind), None)


@once_per_class
def settings_of(kind: Class) -> tuple[Setting, ...]:
    """Return the fields that the constructor of a dataclass takes, in order."""
    hints = get_type_hints(kind, include_extras=True)
    docs = field_docs(kind)
    return tuple(
        Setting(
            name=f.name,
            hint=hints[f.name],
            default=f.default if f.default_factory is MISSING else f.default_factory(),
            doc=docs.get(f.name, ""),
        )
        for f in fields(kind)
        if f.init
    )


@once_per_class
def field_docs(kind: Class) -> Mapping[str, str]:
    """Return the docstring under each field of a class and of its bases, on one line each."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        docs |= _class_docs(base)
    return MappingProxyType(docs)


def _class_docs(kind: Class) -> dict[str, str]:
    node = _classes(kind.__module__).get(kind.__qualname__)
    if node is None:
        return {}
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


@cache
def _classes(module: str) -> Mapping[str, ast.ClassDef]:
    """Return the class definitions of a module by qualified name; {} if its source is not available."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}
    classes: dict[str, ast.ClassDef] = {}

    def collect(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.ClassDef):
                classes[prefix + child.name] = child
                inner = f"{prefix}{child.name}."
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inner = f"{prefix}{child.name}.<locals>."
            collect(child, inner)

    collect(tree, "")
    return classes


def origin_of(hint: Hint) -> Hint:
    """Return the origin of a subscripted type, ``list`` for ``list[int]``, or ``hint`` itself."""
    return get_origin(hint) or hint


def without_markers(hint: Hint) -> Value:
    """Return the type inside ``Annotated[type, ...]``, or ``hint`` itself."""
    return get_args(hint)[0] if origin_of(hint) is Annotated else hint


def markers_of(hint: Hint, kind: type[Mark]) -> tuple[Mark, ...]:
    """Return the markers in ``Annotated[type, ...]`` that are instances of ``kind``."""
    markers = hint.__metadata__ if origin_of(hint) is Annotated else ()
    return tuple(mark for mark in markers if isinstance(mark, kind))
