"""Dataclasses of the keyword arguments of model factories, to check the ``model`` of a configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, make_dataclass
from functools import reduce
from inspect import Parameter, signature
from operator import or_
from types import GenericAlias, NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from res3d.backbone import OVERRIDES
from res3d.settings.types import Hint

ATOMS = (bool, int, float, str, NoneType)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword argument that a configuration can set."""

    hint: Hint
    """Type of its values in a configuration."""
    default: object = None
    """Default value; ``MISSING`` if the keyword is required."""


def make_options(
    name: str,
    keywords: Mapping[str, Keyword],
    *,
    module: str,
    renamed: Mapping[str, str] | None = None,
    optional: Sequence[str] = (),
) -> type:
    """Make a frozen dataclass whose fields are keywords.

    Args:
        name: name of the dataclass.
        keywords: the fields by name.
        module: name of the module that contains the dataclass.
        renamed: names of keywords in a configuration, where they differ.
        optional: required keywords that become optional, with the default None.
    """
    names = renamed or {}
    fields = [
        (names.get(key, key), keyword.hint, field(default=None if key in optional else keyword.default))
        for key, keyword in keywords.items()
    ]
    namespace = {"__module__": module, "__doc__": "Keys of a config's model, besides its kind."}
    return make_dataclass(name, fields, namespace=namespace, frozen=True, kw_only=True)


def keywords_of(function: Callable[..., object]) -> dict[str, Keyword]:
    """Return those keywords of a function or dataclass whose values a configuration can express, without ``**``."""
    hints = get_type_hints(function)
    parameters = [p for p in signature(function).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    types = {p: config_type(hints[p.name]) for p in parameters}
    return {
        p.name: Keyword(hint, MISSING if p.default is Parameter.empty else p.default)
        for p, hint in types.items()
        if hint is not None
    }


def override_keywords() -> dict[str, Keyword]:
    """Return the backbone ``OVERRIDES`` as keywords. All are optional."""
    values = {name: list(signature(change).parameters)[1] for name, change in OVERRIDES.items()}
    hints = {name: get_type_hints(OVERRIDES[name])[value] for name, value in values.items()}
    return {name: Keyword(config_type(hint)) for name, hint in hints.items()}


def config_type(hint: Hint) -> Hint:
    """Return the part of a type whose values a configuration can express.

    Sequences become tuples, and members of a union that cannot be expressed are dropped. Returns None if nothing
    remains.
    """
    origin: object = get_origin(hint)
    arguments = get_args(hint)
    if hint in ATOMS or origin is Literal:
        return hint
    if origin in (Union, UnionType):
        members = [member for member in map(config_type, arguments) if member is not None]
        return reduce(or_, members) if set(members) - {NoneType} else None
    if origin in (Sequence, list) or (origin is tuple and arguments[1:] == (Ellipsis,)):
        item = config_type(arguments[0])
        return None if item is None else GenericAlias(tuple, (item, Ellipsis))
    if origin is tuple:
        items = tuple(map(config_type, arguments))
        return None if None in items else GenericAlias(tuple, items)
    return None
