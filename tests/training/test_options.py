from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from inspect import signature
from pathlib import Path
from typing import Literal

import pytest
from torch import Tensor

import res3d
from res3d.backbone import OVERRIDES, BackboneSpec
from res3d.detection import DetectorSettings, mask_rcnn_3d
from res3d.training.classifier import ClassifierOptions
from res3d.training.detector import DetectorOptions
from res3d.training.options import Keyword, config_type, keywords_of, make_options


def field_names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def test_options_are_the_keywords_of_the_factories():
    backbone = {*OVERRIDES, "body", "out_features", "checkpoint_stages", "freeze_at", "weights"}
    assert field_names(ClassifierOptions) == backbone | {"backbone", "num_classes", "head", "dropout"}
    keywords = {p.name for p in signature(mask_rcnn_3d).parameters.values() if p.kind is not p.VAR_KEYWORD}
    settings = {field.name for field in fields(DetectorSettings)}
    python_only = {"categories"}  # a configuration cannot express its values
    assert field_names(DetectorOptions) == {*OVERRIDES, *keywords, *settings, "spec"} - python_only


def test_only_options_without_any_default_are_required():
    required = {f.name for f in fields(ClassifierOptions) if f.default is MISSING and f.default_factory is MISSING}
    assert required == {"backbone"}
    assert ClassifierOptions(backbone="x").dropout == signature(res3d.create_classifier).parameters["dropout"].default


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, int),
        (Literal["a", "b"], Literal["a", "b"]),
        (str | Path | BackboneSpec, str),
        (str | Path | Mapping[str, Tensor] | None, str | None),
        (Sequence[int] | None, tuple[int, ...] | None),
        (int | Sequence[str], int | tuple[str, ...]),
        (tuple[float, float], tuple[float, float]),
        (Mapping[str, Tensor] | None, None),
        (Sequence[Tensor], None),
        (Tensor, None),
    ],
)
def test_types_are_reduced_to_what_a_configuration_can_express(hint, expected):
    assert config_type(hint) == expected


def test_keywords_have_the_types_and_defaults_of_functions_and_dataclasses():
    def build(name: str | Path, *, size: Sequence[int] = (1, 2), state: Tensor | None = None, **more: int) -> None: ...

    @dataclass(frozen=True)
    class Settings:
        rate: float = 0.5

    assert keywords_of(build) == {"name": Keyword(str, MISSING), "size": Keyword(tuple[int, ...], (1, 2))}
    assert keywords_of(Settings) == {"rate": Keyword(float, 0.5)}


def test_keywords_can_be_renamed_and_made_optional():
    kind = make_options(
        "Kind",
        {"name": Keyword(str, MISSING), "count": Keyword(int, MISSING)},
        module="m",
        renamed={"name": "model"},
        optional=("count",),
    )
    assert (kind(model="x").model, kind(model="x").count, kind.__module__) == ("x", None, "m")
    with pytest.raises(TypeError, match="model"):
        kind()
