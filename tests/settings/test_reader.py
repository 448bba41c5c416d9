import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from res3d.settings import Choice, Tagged, Variant, build_dataclass, build_value, dump_dataclass, parse_dataclass
from res3d.settings.fields import field_docs, settings_of

POOLS = {"avg": 1, "max": 2}


@dataclass(frozen=True, kw_only=True)
class Sprites:
    """Synthetic clips."""

    seed: int
    """Seed of the motion."""
    size: tuple[int, int] = (8, 8)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be ≥ 0, not {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Clips from files."""

    path: Path
    """A folder
    of videos."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """Clips without motion."""


MOVERS = {"sprites": Sprites, "still": Still}
DATA = {"sprites": Sprites, "folder": f"{__name__}:Folder"}


@dataclass(frozen=True, kw_only=True)
class Run:
    pool: Annotated[str, Choice(POOLS, {"mean": "avg"})] = "avg"
    data: Annotated[Sprites | Folder | None, Tagged(DATA)] = None
    later: Annotated[Variant[Any] | None, Tagged(DATA)] = None
    mover: Annotated[Sprites | Still | None, Tagged(MOVERS, bare=True)] = None
    rates: dict[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    anything: Any = None


def read(text: str) -> Run:
    return parse_dataclass(Run, text, root="run")


def test_values_are_converted_to_the_type_of_the_field():
    run = read("pool: max\nrates: {a: 1e-3}\nnames: [x, y]\nanything: {b: [1]}\ndata: {kind: sprites, seed: 3}")
    assert run == Run(pool="max", rates={"a": 0.001}, names=["x", "y"], anything={"b": [1]}, data=Sprites(seed=3))
    assert read("data: {kind: folder, path: a/b}").data == Folder(path=Path("a/b"))
    assert read("pool: mean").pool == "avg"


def test_variant_checks_types_when_read_and_values_when_built():
    later = read("later: {kind: sprites, seed: -1, size: [2, 3]}").later
    assert (later.tag, later.kind, later.given) == ("sprites", Sprites, {"seed": -1, "size": [2, 3]})
    assert later.arguments == {"seed": -1, "size": (2, 3)}
    with pytest.raises(ValueError, match=re.escape("run.later: seed must be ≥ 0, not -1")):
        later.build()
    assert read("later: {kind: sprites, seed: 1}").later.build() == Sprites(seed=1)


def test_bare_tag_is_a_member_with_its_defaults():
    run = read("mover: still")
    assert run.mover == Still() == read("mover: {kind: still}").mover
    assert dump_dataclass(run) == "mover: still\n"
    moving = read("mover: {kind: sprites, seed: 3}")
    assert read(dump_dataclass(moving)) == moving
    with pytest.raises(
        ValueError, match=re.escape("run.mover.kind must be one of sprites, still, not 'stil'; did you")
    ):
        read("mover: stil")
    with pytest.raises(ValueError, match=re.escape("run.mover: key 'seed' is missing (Seed of the motion)")):
        read("mover: sprites")


def test_dump_and_parse_round_trip():
    run = read("later: {kind: sprites, seed: 1, size: [2, 3]}\ndata: {kind: folder, path: x}\nnames: [a, b]")
    assert read(dump_dataclass(run)) == run
    assert read(dump_dataclass(run, defaults=True)) == run
    assert "pool: avg" in dump_dataclass(run, defaults=True)
    assert "size: [2, 3]" in dump_dataclass(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pol: avg", "run: unknown key 'pol'; did you mean 'pool'? (accepted: pool, data, later"),
        ("pool: maxx", "run.pool: expected one of avg, max, not 'maxx'; did you mean 'max'?"),
        ("pool: [avg]", "run.pool: expected one of avg, max, not ['avg']"),
        ("data: sprites", "run.data: expected a mapping with 'kind', not 'sprites'"),
        ("data: {seed: 3}", "run.data.kind must be one of sprites, folder, and is missing"),
        ("data: {kind: sprits}", "run.data.kind must be one of sprites, folder, not 'sprits'; did you mean 'sprites'?"),
        ("data: {kind: [1]}", "run.data.kind must be one of sprites, folder, not [1]"),
        ("data: {kind: sprites, sede: 3}", "run.data: unknown key 'sede'; did you mean 'seed'? (accepted: seed, size)"),
        ("later: {kind: sprites, seed: x}", "run.later.seed: expected a whole number, not 'x'"),
        ("later: {kind: sprites}", "run.later: key 'seed' is missing (Seed of the motion)"),
        ("later: {kind: folder, path: 3}", "run.later.path: expected a path, not 3"),
        ("rates: {a: fast}", "run.rates.a: expected a number, not 'fast'"),
        ("rates: 3", "run.rates: expected a mapping, not 3"),
        ("names: x", "run.names: expected a list, not 'x'"),
        ("names: [1]", "run.names[0]: expected text, not 1"),
        ("[1, 2]", "run: expected the keys of Run, not [1, 2]"),
    ],
)
def test_error_names_the_path_of_the_value_in_one_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x, x]\nb: &b " + "[*a, *a]\nc: " + "[" * 3 + "*b" + "]" * 3, "unknown key 'a'"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)), "aliases expand to"),
        ("anything: &a [*a]", "an alias refers to a value that contains it"),
        ("pool: avg\npool: max", "duplicate key 'pool'"),
        ("[" * 1000, "is nested too deeply"),
        ("anything: 2020-99-99", "is not valid YAML"),
        ("a: [b", "run is not valid YAML"),
    ],
)
def test_invalid_or_exploding_yaml_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text)


def test_yaml_merge_key_is_supported():
    text = "anything: &a {x: 1, y: 2}\nrates: {<<: *a, y: 3}"
    assert read(text).rates == {"x": 1, "y": 3}


def test_messages_are_short_for_large_values():
    with pytest.raises(ValueError, match="expected text") as caught:
        build_value(str, list(range(10**5)), "x")
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match="unknown key") as caught:
        build_dataclass(Run, {"k" * 10**6: 1}, root="run")
    assert len(str(caught.value)) < 400


def test_field_docs_returns_the_docstrings_under_the_fields():
    assert field_docs(Folder) == {"path": "A folder of videos."}
    assert {setting.name: setting.doc for setting in settings_of(Sprites)} == {
        "seed": "Seed of the motion.",
        "size": "",
    }

    @dataclass(frozen=True)
    class Inner(Folder):
        more: int = 0
        """More."""

    assert field_docs(Inner) == {"path": "A folder of videos.", "more": "More."}
