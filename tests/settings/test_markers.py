from dataclasses import dataclass
from typing import Annotated, get_args

import pytest

from res3d.settings import Alias, Choice, Deprecated, Short, Tagged

WORDS = {"near": 1, "far": 2}


@dataclass(frozen=True)
class Member:
    size: int = 3


MEMBERS = {"class": Member, "text": f"{__name__}:Member"}


@pytest.mark.parametrize("table", [WORDS, ("near", "far"), f"{__name__}:WORDS"], ids=["mapping", "tuple", "text"])
def test_words_of_a_choice(table):
    assert Choice(table).words == ("near", "far")


@pytest.mark.parametrize("table", [MEMBERS, f"{__name__}:MEMBERS"], ids=["mapping", "text"])
@pytest.mark.parametrize("tag", MEMBERS)
def test_type_of_a_tag(table, tag):
    tagged = Tagged(table)
    assert list(tagged.tags) == ["class", "text"]
    assert tagged.type_of(tag).__name__ == "Member"


def test_unknown_tag_raises_key_error():
    with pytest.raises(KeyError):
        Tagged(MEMBERS).type_of("other")


def test_names_and_patterns_are_positional_arguments():
    assert Alias("a", "b").names == ("a", "b")
    assert isinstance(Deprecated("c"), Alias)
    assert Short().patterns == ("{}",)
    assert Short("clip_{}", "{}").patterns == ("clip_{}", "{}")


def test_annotated_types_with_markers_are_hashable_and_compared_by_identity():
    first, second = Choice(WORDS), Choice(WORDS)
    assert first != second
    assert len({Annotated[str, first], Annotated[str, second]}) == 2
    union = Annotated[str, first] | None
    assert get_args(union)[0] == Annotated[str, first]
