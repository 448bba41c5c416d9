from dataclasses import dataclass

import pytest

from res3d.settings import Variant


@dataclass(frozen=True)
class Source:
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size must be ≥ 0, not {self.size}")
        if self.size > 9:
            raise FileNotFoundError("no such file")


def variant(size: int, root: str) -> Variant[Source]:
    return Variant(tag="source", kind=Source, given={"size": size}, arguments={"size": size}, root=root)


def test_build_returns_the_dataclass():
    assert variant(3, "train").build() == Source(size=3)


@pytest.mark.parametrize(
    ("root", "message"), [("train", "train: size must be ≥ 0, not -1"), ("", "size must be ≥ 0, not -1")]
)
def test_value_error_of_the_dataclass_gets_the_path(root, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        variant(-1, root).build()


def test_other_errors_are_passed_on():
    with pytest.raises(FileNotFoundError, match=r"^no such file$"):
        variant(10, "train").build()
