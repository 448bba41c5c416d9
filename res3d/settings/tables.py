"""Words of tables in modules that take long to import, read from their source."""

import ast
import sys
from importlib import import_module
from pathlib import Path

from res3d.settings.types import Value


def words_of(place: str) -> tuple[str, ...]:
    """Return the words of the table "module:NAME": its keys, or its items.

    They are read from the module's source where they stand there as they are, so that ``--help`` does not wait for
    torch; else the module is imported.
    """
    module, _, name = place.partition(":")
    if module not in sys.modules:
        found = _words(_assignments(module), name)
        if found is not None:
            return found
    return tuple(resolve(place))


def resolve(place: str) -> Value:
    """Import "module:NAME"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _assignments(module: str) -> dict[str, ast.expr]:
    """What names are assigned at the top of a module; nothing where its source is not a file."""
    package, *parts = module.split(".")
    folders = getattr(sys.modules.get(package), "__path__", [])
    files = [Path(folder, *parts).with_suffix(".py") for folder in folders]
    text = next((file.read_text(encoding="utf-8") for file in files if file.is_file()), "")
    found: dict[str, ast.expr] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
    return found


def _words(assigned: dict[str, ast.expr], name: str) -> tuple[str, ...] | None:
    """The words of a tuple, list, dictionary, ``Literal[...]``, or ``get_args`` of one; None for anything else."""
    value = assigned.get(name)
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "get_args":
        return _words(assigned, getattr(value.args[0], "id", ""))
    if isinstance(value, ast.Call) and len(value.args) == 1 and isinstance(value.args[0], ast.Dict):
        value = value.args[0]  # a table made of a dictionary
    items: list[ast.expr | None] = []
    if isinstance(value, ast.Dict):
        items = list(value.keys)
    elif isinstance(value, (ast.Tuple, ast.List)):
        items = list(value.elts)
    elif isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Tuple):
        items = list(value.slice.elts)
    words = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return tuple(words) if words and len(words) == len(items) else None
