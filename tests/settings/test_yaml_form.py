from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from res3d.settings import change_dataclass, dump_dataclass, load_yaml, parse_dataclass, plain


@dataclass(frozen=True)
class Block:
    width: int
    stride: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Network:
    name: str = "net"
    folder: Path = Path("a/b")
    stem: Block = Block(8)
    blocks: tuple[Block, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)


NETWORK = Network(name="über", blocks=(Block(8), Block(8), Block(16, (2, 2))), rates={"stem": 0.5})


def test_dump_writes_changed_fields_and_repeats_equal_items():
    text = dump_dataclass(NETWORK)
    assert text == (
        "name: über\nblocks:\n- repeat: 2\n  width: 8\n- width: 16\n  stride: [2, 2]\nrates:\n  stem: 0.5\n"
    )
    assert parse_dataclass(Network, text, root="net") == NETWORK


def test_dump_with_defaults_writes_every_field():
    content = yaml.safe_load(dump_dataclass(NETWORK, defaults=True))
    assert list(content) == ["name", "folder", "stem", "blocks", "rates"]
    assert content["folder"] == "a/b"
    assert content["stem"] == {"width": 8, "stride": [1, 1]}


def test_dump_writes_shared_values_without_aliases():
    shared = {"a": 1.0}
    assert "&" not in dump_dataclass(Network(rates={"x": shared, "y": shared}))


def test_plain_converts_nested_values():
    assert plain({"path": Path("a"), "sizes": (1, (2, 3)), "block": Block(4, (2, 2))}) == {
        "path": "a",
        "sizes": [1, [2, 3]],
        "block": {"width": 4, "stride": [2, 2]},
    }


def test_change_dataclass_replaces_fields_inside_nested_dataclasses():
    changed = change_dataclass(NETWORK, {"stem": {"stride": [3, 3]}, "name": "new"}, root="net")
    assert changed == Network(name="new", stem=Block(8, (3, 3)), blocks=NETWORK.blocks, rates=NETWORK.rates)
    assert NETWORK.stem == Block(8)
    with pytest.raises(ValueError, match=r"net\.stem: unknown key 'strid'; did you mean 'stride'"):
        change_dataclass(NETWORK, {"stem": {"strid": [3, 3]}}, root="net")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "^x is not valid YAML: "),
        ("a: 1\na: 2", "^x is not valid YAML: duplicate key 'a'"),
        ("a: !!python/object:os.system {}", "^x is not valid YAML: "),
    ],
)
def test_load_yaml_refuses_invalid_documents(text, message):
    with pytest.raises(ValueError, match=message):
        load_yaml(text, root="x")


def test_load_yaml_accepts_aliases():
    assert load_yaml("a: &a {x: 1}\nb: *a", root="x") == {"a": {"x": 1}, "b": {"x": 1}}
