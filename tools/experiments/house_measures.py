"""Measure the package's source: sizes, arguments, ``Any``, places that list an object's fields, import arrows, circles.

    python tools/experiments/house_measures.py [--package res3d] [--draw arrows.svg] [--places]

Everything is read from the source with ``ast``; nothing is imported, so that any checkout can be measured.
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
GROUND = frozenset(("version", "files"))  # single files that every room may import: not drawn
LISTED = 3  # names of an object's fields in one literal, call or class from which on it lists them
# Functions whose keywords are the public contract; they may take more than twelve arguments.
CONTRACT_FACTORIES = frozenset(
    ("create_backbone", "create_classifier", "mask_rcnn_3d", "load_detector", "load_classifier", "load_weights",
     "extract_features", "track_video", "stream_video", "link_detections", "link_tubes", "factory", "__call__")
)  # fmt: skip


@dataclass
class Source:
    """One module of the package."""

    name: str
    """Dotted name, such as "res3d.ops.tubes"."""
    path: Path
    text: str
    tree: ast.Module = field(repr=False)


@dataclass(frozen=True)
class Argument:
    """How many arguments one function takes, its ``**`` counted as the options that it passes on."""

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
    """Lines of a function from ``def`` to its end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameter_names(node: FunctionNode) -> list[str]:
    """Names of a function's arguments without ``self``, ``cls``, ``*`` and ``**``."""
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def dataclass_fields(node: ast.ClassDef) -> list[str]:
    """Names of a class's annotated fields."""
    return [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]


def callables(sources: list[Source]) -> dict[str, list[str]]:
    """Return the argument names of every function and class of the package, by its bare name."""
    found: dict[str, list[str]] = {}
    for source in sources:
        for _, node in functions(source):
            found[node.name] = max(found.get(node.name, []), parameter_names(node), key=len)
        for item in ast.walk(source.tree):
            if isinstance(item, ast.ClassDef):
                init = next((n for n in item.body if isinstance(n, FunctionNode) and n.name == "__init__"), None)
                found[item.name] = parameter_names(init) if init else dataclass_fields(item)
            if isinstance(item, (ast.Assign, ast.AnnAssign)) and isinstance(item.value, ast.Dict):
                targets = item.targets if isinstance(item, ast.Assign) else [item.target]
                keys = [k.value for k in item.value.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)]
                found |= {t.id: keys for t in targets if isinstance(t, ast.Name) and t.id.isupper()}
    return found


def count_arguments(node: FunctionNode, known: Mapping[str, list[str]], depth: int = 0) -> int:
    """Count a function's arguments; ``**options`` counts as what the functions that get it take besides."""
    own = parameter_names(node)
    if node.args.kwarg is None:
        return len(own)
    star, most = node.args.kwarg.arg, 1
    for item in ast.walk(node):
        if isinstance(item, ast.Call) and any(
            k.arg is None and isinstance(k.value, ast.Name) and k.value.id == star for k in item.keywords
        ):
            callee = item.func.attr if isinstance(item.func, ast.Attribute) else getattr(item.func, "id", "")
            given = {k.arg for k in item.keywords if k.arg}
            most = max(most, len([n for n in known.get(callee, [])[len(item.args) :] if n not in given]))
        if isinstance(item, ast.Name) and item.id.isupper() and item.id in known:
            most = max(most, len(known[item.id]))  # names are looked up in a table
    return len(own) + most


def count_any(source: Source) -> int:
    """Count the word ``Any`` in the code, comments and texts left out."""
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
    """Return the package's modules that a module imports anywhere, in functions and for type checking too."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in modules else node.module
                      for a in node.names}  # fmt: skip
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in modules and name != source.name}


def named_modules(source: Source, modules: set[str]) -> set[str]:
    """Return the package's modules that texts like "res3d.x.y:NAME" name, which are imported on demand."""
    texts = [n.value for n in ast.walk(source.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    matches = (re.fullmatch(r"([\w.]+):\w+", text) for text in texts)
    return {match[1] for match in matches if match and match[1] in modules}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

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
                found.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in order:
            visit(node)
    return found


def room_of(module: str) -> str:
    """Return the folder below the package that a module belongs to, or its own name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def room_arrows(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the rooms that each room imports, the package's own ``__init__`` left out."""
    arrows: dict[str, set[str]] = {room_of(name): set() for name in graph if "." in name}
    for name, others in graph.items():
        if "." in name:
            arrows[room_of(name)] |= {room_of(o) for o in others if "." in o} - {room_of(name)}
    return arrows


def draw_arrows(arrows: Mapping[str, set[str]], path: Path) -> None:
    """Draw rooms on floors, each above all that it imports; arrows that longer ways imply are left out."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "res3d"  # the same file for the same arrows
    from matplotlib import pyplot

    floors: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in floors:
            floors[room] = 1 + max((floor(other) for other in arrows[room]), default=-1)
        return floors[room]

    def reachable(room: str) -> set[str]:
        return set().union(*({other} | reachable(other) for other in arrows[room]))

    by_floor: dict[int, list[str]] = {}
    for room in sorted(arrows):
        by_floor.setdefault(floor(room), []).append(room)
    places = {
        room: ((index + 0.5) / len(rooms), level)
        for level, rooms in by_floor.items()
        for index, room in enumerate(rooms)
    }
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.9 * len(by_floor)))
    for room, others in arrows.items():
        implied = set().union(*(reachable(other) for other in others))
        for other in others - implied:
            axes.annotate("", places[other], places[room], arrowprops={"arrowstyle": "->", "color": "0.6"}, zorder=1)
    for room, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "0.2"}
        axes.text(x, y, room, ha="center", va="center", fontsize=10, bbox=box, zorder=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, len(by_floor) - 0.5)
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)


def print_measures(sources: list[Source], *, places: bool) -> dict[str, set[str]]:
    """Print all measures and return the arrows between rooms."""
    modules = {source.name for source in sources}
    named = {name: node for source in sources for name, node in functions(source)}
    lines = sorted(count_lines(node) for node in named.values())
    files = sorted(len(source.text.splitlines()) for source in sources)
    known = callables(sources)
    arguments = sorted((Argument(name, count_arguments(node, known)) for name, node in named.items()),
                       key=lambda argument: -argument.count)  # fmt: skip
    measured = [a for a in arguments if a.function.rsplit(".", 1)[-1] not in CONTRACT_FACTORIES]
    listings = [(source.path, *found) for source in sources for found in field_listings(source)]
    graph = {source.name: imports(source, modules) for source in sources}
    arrows = room_arrows(graph)
    print(f"files {len(files)}, lines {sum(files)}; lines a file: {_spread(files)}")
    print(f"functions {len(lines)}; lines a function: {_spread(lines)}; over 50 lines: {sum(n > 50 for n in lines)}")
    print("most arguments: " + ", ".join(f"{a.count} {a.function}" for a in measured[:3]))
    print(
        "of contract factories: " + ", ".join(f"{a.count} {a.function}" for a in arguments if a not in measured)[:200]
    )
    print(f"Any: {sum(map(count_any, sources))}")
    print(f"places that list an object's fields: {len(listings)} in {len({path for path, *_ in listings})} files")
    for path, line, names in listings if places else ():
        print(f"  {path}:{line}: {', '.join(names)}")
    print(f"circles: {len(found := circles(graph))}")
    for circle in found:
        print(f"  {', '.join(circle)}")
    print(f"rooms {len(arrows)}, arrows {sum(map(len, arrows.values()))}")
    for room in sorted(arrows):
        print(f"  {room} -> {', '.join(sorted(arrows[room])) or 'nothing'}")
    on_demand = {source.name: named_modules(source, modules) for source in sources}
    for name, others in on_demand.items():
        across = sorted({room_of(other) for other in others} - {room_of(name)})
        if across:
            print(f"resolved on demand by name: {name} -> {', '.join(across)}")
    return arrows


def _spread(values: list[int]) -> str:
    p90 = values[min(len(values) - 1, round(0.9 * (len(values) - 1)))]
    return f"median {statistics.median(values):g}, p90 {p90}, max {values[-1]}"


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=Path(__file__).parents[2] / "res3d", help="folder to measure")
    parser.add_argument("--draw", type=Path, help="write the arrows between rooms as a picture (.svg or .png)")
    parser.add_argument("--places", action="store_true", help="list the places that list an object's fields")
    chosen = parser.parse_args()
    if not (chosen.package / "__init__.py").is_file():
        parser.error(f"--package {chosen.package}: not a Python package")
    arrows = print_measures(read_package(chosen.package), places=chosen.places)
    if chosen.draw:
        rooms = {room: others - GROUND for room, others in arrows.items() if room not in GROUND}
        draw_arrows(rooms, chosen.draw)


if __name__ == "__main__":
    main()
