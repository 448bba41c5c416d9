"""Packages whose names are imported on first access (PEP 562), so that importing a package is quick."""

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeAlias

ModuleGetattr: TypeAlias = Callable[[str], Any]
"""The ``__getattr__`` of a package."""


def lazy_names(package: str) -> tuple[ModuleGetattr, Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose imports are under ``if TYPE_CHECKING:``.

    Type checkers see those imports. At run time, each of them and each submodule is imported on first access. The
    package begins with::

        if TYPE_CHECKING:
            from package.module import Name

        __getattr__, __dir__ = lazy_names(__name__)
    """
    module = sys.modules[package]
    origins = dict(_imports(package))

    class LazyPackage(ModuleType):
        """A package that ignores a submodule with the name of one of its functions.

        Importing a submodule sets it as an attribute of its package, which would hide the function.
        """

        def __setattr__(self, name: str, value: object) -> None:
            if not (isinstance(value, ModuleType) and name in origins and value.__name__ == f"{package}.{name}"):
                super().__setattr__(name, value)

    module.__class__ = LazyPackage

    def get(name: str) -> object:
        if origins.get(name, package) != package:
            value = getattr(import_module(origins[name]), name)
        elif not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *origins})

    return get, names


def _imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield (name, module) for each name that a package imports under ``if TYPE_CHECKING:``."""
    spec = sys.modules[package].__spec__
    loader: Any = None if spec is None else spec.loader
    for block in ast.parse(loader.get_source(package)).body:
        if not isinstance(block, ast.If) or getattr(block.test, "id", None) != "TYPE_CHECKING":
            continue
        for node in block.body:
            if isinstance(node, ast.ImportFrom):
                yield from ((alias.asname or alias.name, node.module or "") for alias in node.names)
