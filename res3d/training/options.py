"""Dataclasses of the keywords that the factories of models take, which a config's ``model`` is read as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, make_dataclass
from functools import reduce
from inspect import Parameter, signature
from operator import or_
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from res3d.backbone import OVERRIDES

Keywords: TypeAlias = Mapping[str, tuple[Any, Any]]
"""The type and the default of each keyword."""

ATOMS = (Any, bool, int, float, str, NoneType)


def make_options(name: str, module: str, keywords: Keywords, required: Mapping[str, Any]) -> type:
    """Make a frozen dataclass of keywords, among them required ones, which are given by type.

    Keywords that are not given are not passed on, so the defaults here say no more than what a factory does then.
    """
    optional = [(key, hint, field(default=default)) for key, (hint, default) in keywords.items() if key not in required]
    namespace = {"__module__": module, "__doc__": f"Keywords of a config's model: {name}."}
    return make_dataclass(name, [*required.items(), *optional], namespace=namespace, frozen=True, kw_only=True)


def keywords_of(function: Callable[..., object]) -> Keywords:
    """Return the keywords of a function or dataclass whose values a config can hold; ``**`` stands for none."""
    hints = get_type_hints(function.__init__ if isinstance(function, type) else function)
    parameters = [p for p in signature(function).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    types = {p.name: (config_type(hints[p.name]), p.default) for p in parameters}
    return {
        name: (hint, None if default is Parameter.empty else default)
        for name, (hint, default) in types.items()
        if hint is not None
    }


def override_keywords() -> Keywords:
    """Return the keywords of the changes to a backbone, ``OVERRIDES``, as ``keywords_of`` does."""
    changes = {name: list(signature(change).parameters.values())[1] for name, change in OVERRIDES.items()}
    hints = {name: get_type_hints(OVERRIDES[name]).get(parameter.name, Any) for name, parameter in changes.items()}
    return {name: (config_type(hint), None) for name, hint in hints.items()}


def config_type(hint: Any) -> Any:
    """Return the part of a type whose values a config can hold, sequences as tuples; None if there is no such part."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in ATOMS or origin is Literal:
        return hint
    if origin in (Union, UnionType):
        members = [member for member in map(config_type, arguments) if member is not None]
        return reduce(or_, members) if set(members) - {NoneType} else None
    if origin in (Sequence, list) or (origin is tuple and arguments[1:] == (Ellipsis,)):
        item = config_type(arguments[0])
        return None if item is None else tuple[item, ...]
    if origin is tuple:
        items = tuple(map(config_type, arguments))
        return None if None in items else tuple[items]
    return None
