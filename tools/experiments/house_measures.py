"""Measures of the source: sizes, arguments, ``Any``, lists of the fields of an object, imports and import cycles.

    python tools/experiments/house_measures.py [--package res3d] [--draw imports.svg] [--places]

The source is read with ``ast`` and not imported, so any checkout can be measured.
"""

import argparse
import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
OBJECT_FIELDS = frozenset(
    ("boxes", "scores", "labels", "visible", "embeddings", "masks", "keypoints", "keypoints_scores", "actions")
)
GROUND = frozenset(("version", "files"))  # single modules that every package may import; not drawn
LISTED = 3  # least number of fields of an object that make a literal, call or class count as a list of them
# Functions whose keywords are public; they may take more than twelve arguments.
PUBLIC_FACTORIES = frozenset(
    ("create_backbone", "create_classifier", "mask_rcnn_3d", "load_detector", "load_classifier", "load_weights",
     "extract_features", "track_video", "stream_video", "link_detections", "link_tubes", "factory", "__call__")
)  # fmt: skip


@dataclass
class Source:
    """One module of the package."""

    name: str
    """Dotted name: "res3d.ops.tubes"."""
    path: Path
    text: str
    tree: ast.Module = field(repr=False)


@dataclass(frozen=True)
class ArgumentCount:
    """Number of arguments of one function. ``**options`` counts as the options that it passes on."""

    function: str
    count: int


def read_package(folder: Path) -> list[Source]:
    """Parse every module below ``folder``."""
    sources = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        text = path.read_text(encoding="utf-8")
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources.append(Source(name, path, text, ast.parse(text)))
    return sources


def functions(source: Source) -> Iterator[tuple[str, FunctionNode]]:
    """Yield every function and method with its qualified name."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode):
                yield f"{prefix}.{child.name}", child
            if isinstance(child, (FunctionNode, ast.ClassDef)):
                yield from walk(child, f"{prefix}.{child.name}")
            else:
                yield from walk(child, prefix)

    yield from walk(source.tree, source.name)


def count_lines(node: FunctionNode) -> int:
    """Return the number of lines of a function, from ``def`` to its end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameter_names(node: FunctionNode) -> list[str]:
    """Return the names of the arguments of a function without ``self``, ``cls``, ``*`` and ``**``."""
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def dataclass_fields(node: ast.ClassDef) -> list[str]:
    """Return the names of the annotated fields of a class."""
    return [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]


def callables(sources: list[Source]) -> dict[str, list[str]]:
    """Return the argument names of every function and class of the package, by its unqualified name.

    Tables, that is upper-case names of a dict, are there with their keys.
    """
    arguments: dict[str, list[str]] = {}
    for source in sources:
        for _, node in functions(source):
            arguments[node.name] = max(arguments.get(node.name, []), parameter_names(node), key=len)
        for item in ast.walk(source.tree):
            if isinstance(item, ast.ClassDef):
                init = next((n for n in item.body if isinstance(n, FunctionNode) and n.name == "__init__"), None)
                arguments[item.name] = parameter_names(init) if init else dataclass_fields(item)
            if isinstance(item, (ast.Assign, ast.AnnAssign)) and isinstance(item.value, ast.Dict):
                targets = item.targets if isinstance(item, ast.Assign) else [item.target]
                keys = [k.value for k in item.value.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)]
                arguments |= {t.id: keys for t in targets if isinstance(t, ast.Name) and t.id.isupper()}
    return arguments


def count_arguments(node: FunctionNode, arguments: Mapping[str, list[str]]) -> int:
    """Count the arguments of a function. ``**options`` counts as the other arguments of the functions that it is for.

    ``arguments`` is the result of ``callables``.
    """
    names = parameter_names(node)
    if node.args.kwarg is None:
        return len(names)
    star, most = node.args.kwarg.arg, 1
    for item in ast.walk(node):
        if isinstance(item, ast.Call) and any(
            k.arg is None and isinstance(k.value, ast.Name) and k.value.id == star for k in item.keywords
        ):
            callee = item.func.attr if isinstance(item.func, ast.Attribute) else getattr(item.func, "id", "")
            keywords = {k.arg for k in item.keywords if k.arg}
            most = max(most, len([n for n in arguments.get(callee, [])[len(item.args) :] if n not in keywords]))
        if isinstance(item, ast.Name) and item.id.isupper() and item.id in arguments:
            most = max(most, len(arguments[item.id]))  # the options are looked up in a table
    return len(names) + most


def count_any(source: Source) -> int:
    """Count the name ``Any`` in the code, without comments and strings."""
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return sum(token.type == tokenize.NAME and token.string == "Any" for token in tokens)


def field_listings(source: Source) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line, names) of literals, calls and classes that list at least ``LISTED`` fields of an object."""
    for node in ast.walk(source.tree):
        names: set[str] = set()
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            names = {e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)}
        elif isinstance(node, ast.Dict):
            names = {k.value for k in node.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
        elif isinstance(node, ast.Call):
            names = {k.arg for k in node.keywords if k.arg}
        elif isinstance(node, ast.ClassDef):
            names = set(dataclass_fields(node))
        listed = sorted(names & OBJECT_FIELDS)
        if len(listed) >= LISTED and isinstance(node, (ast.expr, ast.stmt)):
            yield node.lineno, tuple(listed)


def imports(source: Source, modules: set[str]) -> set[str]:
    """Return the modules of the package that a module imports, also inside functions and for type checking."""
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in modules else node.module
                      for a in node.names}  # fmt: skip
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in modules and name != source.name}


def named_modules(source: Source, modules: set[str]) -> set[str]:
    """Return the modules of the package that strings like "res3d.x.y:NAME" name. They are imported on demand."""
    texts = [n.value for n in ast.walk(source.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    matches = (re.fullmatch(r"([\w.]+):\w+", text) for text in texts)
    return {match[1] for match in matches if match and match[1] in modules}


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            component = []
            while node not in component:
                component.append(stack.pop())
            if len(component) > 1:
                components.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in order:
            visit(node)
    return components


def subpackage_of(module: str) -> str:
    """Return the name of the subpackage of a module, or of the module itself: "ops" for "res3d.ops.tubes"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def subpackage_imports(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the subpackages that each subpackage imports, without the ``__init__`` of the package."""
    imported: dict[str, set[str]] = {subpackage_of(name): set() for name in graph if "." in name}
    for name, others in graph.items():
        if "." in name:
            imported[subpackage_of(name)] |= {subpackage_of(o) for o in others if "." in o} - {subpackage_of(name)}
    return imported


def draw_imports(imported: Mapping[str, set[str]], path: Path) -> None:
    """Draw the subpackages in layers, each above all that it imports. Arrows that longer paths imply are left out."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "res3d"  # equal imports give equal files
    from matplotlib import pyplot

    layers: dict[str, int] = {}

    def layer(name: str) -> int:
        if name not in layers:
            layers[name] = 1 + max((layer(other) for other in imported[name]), default=-1)
        return layers[name]

    def reachable(name: str) -> set[str]:
        return set().union(*({other} | reachable(other) for other in imported[name]))

    by_layer: dict[int, list[str]] = {}
    for name in sorted(imported):
        by_layer.setdefault(layer(name), []).append(name)
    positions = {
        name: ((index + 0.5) / len(names), number)
        for number, names in by_layer.items()
        for index, name in enumerate(names)
    }
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.9 * len(by_layer)))
    for name, others in imported.items():
        implied = set().union(*(reachable(other) for other in others))
        for other in others - implied:
            arrow = {"arrowstyle": "->", "color": "0.6"}
            axes.annotate("", positions[other], positions[name], arrowprops=arrow, zorder=1)
    for name, (x, y) in positions.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "0.2"}
        axes.text(x, y, name, ha="center", va="center", fontsize=10, bbox=box, zorder=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, len(by_layer) - 0.5)
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)


def print_measures(sources: list[Source], *, places: bool) -> dict[str, set[str]]:
    """Print all measures and return the imports between subpackages."""
    modules = {source.name for source in sources}
    named = {name: node for source in sources for name, node in functions(source)}
    lines = sorted(count_lines(node) for node in named.values())
    files = sorted(len(source.text.splitlines()) for source in sources)
    argument_names = callables(sources)
    arguments = sorted((ArgumentCount(name, count_arguments(node, argument_names)) for name, node in named.items()),
                       key=lambda argument: -argument.count)  # fmt: skip
    measured = [a for a in arguments if a.function.rsplit(".", 1)[-1] not in PUBLIC_FACTORIES]
    listings = [(source.path, *listing) for source in sources for listing in field_listings(source)]
    graph = {source.name: imports(source, modules) for source in sources}
    imported = subpackage_imports(graph)
    print(f"files {len(files)}, lines {sum(files)}; lines per file: {_spread(files)}")
    print(f"functions {len(lines)}; lines per function: {_spread(lines)}; over 50 lines: {sum(n > 50 for n in lines)}")
    print("most arguments: " + ", ".join(f"{a.count} {a.function}" for a in measured[:3]))
    print("of public factories: " + ", ".join(f"{a.count} {a.function}" for a in arguments if a not in measured)[:200])
    print(f"Any: {sum(map(count_any, sources))}")
    print(f"places that list an object's fields: {len(listings)} in {len({path for path, *_ in listings})} files")
    for path, line, names in listings if places else ():
        print(f"  {path}:{line}: {', '.join(names)}")
    print(f"import cycles: {len(components := cycles(graph))}")
    for component in components:
        print(f"  {', '.join(component)}")
    print(f"subpackages {len(imported)}, imports between them {sum(map(len, imported.values()))}")
    for name in sorted(imported):
        print(f"  {name} -> {', '.join(sorted(imported[name])) or 'nothing'}")
    on_demand = {source.name: named_modules(source, modules) for source in sources}
    for module, others in on_demand.items():
        across = sorted({subpackage_of(other) for other in others} - {subpackage_of(module)})
        if across:
            print(f"imported on demand by name: {module} -> {', '.join(across)}")
    return imported


def _spread(values: list[int]) -> str:
    p90 = values[min(len(values) - 1, round(0.9 * (len(values) - 1)))]
    return f"median {statistics.median(values):g}, p90 {p90}, max {values[-1]}"


def main() -> None:
    """Read the command line and print the measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=Path(__file__).parents[2] / "res3d", help="folder to measure")
    parser.add_argument("--draw", type=Path, help="picture of the imports between subpackages to write (.svg or .png)")
    parser.add_argument("--places", action="store_true", help="list the places that list an object's fields")
    options = parser.parse_args()
    if not (options.package / "__init__.py").is_file():
        parser.error(f"--package {options.package}: not a Python package")
    imported = print_measures(read_package(options.package), places=options.places)
    if options.draw:
        draw_imports({name: others - GROUND for name, others in imported.items() if name not in GROUND}, options.draw)


if __name__ == "__main__":
    main()
