"""Words of a table in another module, read from its source if possible, because importing torch takes seconds."""

import ast
import sys
from importlib import import_module
from pathlib import Path

from res3d.settings.types import Value


def words_of(reference: str) -> tuple[str, ...]:
    """Return the words of the table "module:NAME": the keys of a mapping, the items of a sequence.

    If the source of the module contains the words as literals, they are read from there, so that ``--help`` does not
    wait for torch. Otherwise the module is imported.
    """
    module, _, name = reference.partition(":")
    if module not in sys.modules:
        words = _words(_assignments(module), name)
        if words is not None:
            return words
    return tuple(resolve(reference))


def resolve(reference: str) -> Value:
    """Import the module of "module:NAME" and return its attribute NAME."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _assignments(module: str) -> dict[str, ast.expr]:
    """Return the values that are assigned to names at the top level of a module; {} if its source is not a file."""
    package, *parts = module.split(".")
    folders = getattr(sys.modules.get(package), "__path__", [])
    files = [Path(folder, *parts).with_suffix(".py") for folder in folders]
    text = next((file.read_text(encoding="utf-8") for file in files if file.is_file()), "")
    values: dict[str, ast.expr] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values[node.target.id] = node.value
    return values


def _words(assignments: dict[str, ast.expr], name: str) -> tuple[str, ...] | None:
    """Return the words of a tuple, list, dict, ``Literal[...]`` or ``get_args`` of one; None for anything else."""
    value = assignments.get(name)
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "get_args":
        return _words(assignments, getattr(value.args[0], "id", ""))
    if isinstance(value, ast.Call) and len(value.args) == 1 and isinstance(value.args[0], ast.Dict):
        value = value.args[0]  # a class called with a dict, such as MappingProxyType({...})
    items: list[ast.expr | None] = []
    if isinstance(value, ast.Dict):
        items = list(value.keys)
    elif isinstance(value, (ast.Tuple, ast.List)):
        items = list(value.elts)
    elif isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Tuple):
        items = list(value.slice.elts)
    words = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return tuple(words) if words and len(words) == len(items) else None
