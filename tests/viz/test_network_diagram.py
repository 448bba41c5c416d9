import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache

import pytest
import torch
from helpers.paths import ROOT

import res3d
from res3d.backbone import CATALOG, resnet
from res3d.viz import draw_network
from res3d.viz.network_diagram import COLUMN, MARGIN, text_width

DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def _no_initial_weights(monkeypatch):
    """Initializing weights takes a third of the time, even without data."""
    monkeypatch.setattr(resnet, "initialize", lambda module: None)


def create_without_data(name: str, **keywords) -> res3d.ResNet3d:
    """A backbone on the meta device: diagrams do not depend on the weights."""
    with torch.device("meta"):
        return res3d.create_backbone(name, **keywords)


@cache
def draw(name: str, **keywords) -> ET.Element:
    model = create_without_data(name, **keywords)
    return ET.fromstring(draw_network(model, (model.spec.in_channels, 8, 96, 96)))


def of_class(svg: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in svg.iter() if element.get("class") == name]


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter() if element.tag.endswith("text")]


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_every_catalog_entry_is_drawn_within_the_picture(name):
    svg = draw(name)
    width, height = float(svg.get("width")), float(svg.get("height"))
    stages = of_class(svg, "stage")
    assert len(stages) == len(CATALOG[name].stage_names)
    assert float(stages[-1].get("x")) + COLUMN + MARGIN <= width
    for box in svg.iter():
        if box.tag.endswith("rect") and box.get("class"):
            assert float(box.get("x")) + float(box.get("width")) <= width
            assert float(box.get("y")) + float(box.get("height")) <= height
    assert len({(e.get("x"), e.get("y")) for e in of_class(svg, "conv")}) == len(of_class(svg, "conv"))


def test_resnet18_has_one_box_per_convolution_and_one_line_per_shortcut():
    svg = draw("resnet18_3d", freeze_at=2)
    assert len(of_class(svg, "conv")) == 17
    assert len(of_class(svg, "shortcut identity")) == 5
    projections = of_class(svg, "shortcut project")
    assert len(projections) == 3
    assert float(projections[0].get("stroke-width")) > float(of_class(svg, "shortcut identity")[0].get("stroke-width"))
    assert texts(svg).count("frozen") == 2 + 1, "stem and conv2, and the legend"
    assert len({stage.get("fill") for stage in of_class(svg, "stage")[:2]}) == 1
    assert of_class(svg, "stage")[0].get("fill") != of_class(svg, "stage")[2].get("fill")
    for text in ("3×3×3, 128 /1×2×2", "max pool 1×3×3 /1×2×2", "512×8×3×3", "project 1×1×1 /1×2×2"):
        assert text in texts(svg)


def test_preactivation_blocks_have_no_activation_after_the_sum():
    svg = draw("resnet50v2_3d")
    assert len(of_class(svg, "shortcut max_pool")) == 3
    assert len(of_class(svg, "shortcut project")) == 4
    assert texts(svg).count("ReLU") == 0
    assert texts(draw("resnet50_3d")).count("ReLU") > 0


def test_a_run_of_equal_blocks_is_drawn_once_with_its_length():
    svg = draw("resnet152_3d")
    assert {text for text in texts(svg) if re.fullmatch(r"×\d+", text)} == {"×7", "×35"}
    assert len(of_class(svg, "alike")) == 2


def test_attention_is_drawn_and_blocks_without_shortcut_have_no_line():
    svg = draw("resnet18_3d", attention="squeeze_excite", shortcut="none")
    assert texts(svg).count("squeeze excite") == 8
    assert not [e for e in svg.iter() if (e.get("class") or "").startswith("shortcut")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r2plus1d_18", "resnext101_64x4d_3d", "resnet14_cifar"])
@pytest.mark.parametrize("keywords", [{}, {"body": "conv2"}, {"output_stride": 4}])
def test_texts_stay_within_their_boxes_and_the_picture(name, keywords):
    svg = draw(name, **keywords)
    width = float(svg.get("width"))
    boxes = {(float(b.get("x")), float(b.get("y"))): float(b.get("width")) for b in of_class(svg, "conv")}
    for text in svg.iter("{http://www.w3.org/2000/svg}text"):
        if text.get("transform"):
            continue
        text_length, x = text_width(text.text, int(text.get("font-size"))), float(text.get("x"))
        left = {"start": x, "middle": x - text_length / 2, "end": x - text_length}[text.get("text-anchor")]
        assert left >= 0
        assert left + text_length <= width, text.text
        for (box_x, box_y), box_width in boxes.items():
            if box_y < float(text.get("y")) < box_y + 26 and box_x < x < box_x + box_width:
                assert box_x <= left, text.text
                assert left + text_length <= box_x + box_width, text.text


def test_names_are_escaped():
    spec = replace(CATALOG["resnet14_cifar"], name='<a href="x">&')
    svg = ET.fromstring(draw_network(res3d.ResNet3d(spec), (3, 1, 32, 32)))
    assert any('<a href="x">& on a clip' in text for text in texts(svg))


@pytest.mark.parametrize(("name", "freeze_at"), [("resnet18_3d", 2), ("resnet50v2_3d", 0)])
def test_diagrams_in_the_docs_are_up_to_date(name, freeze_at):
    svg = draw_network(create_without_data(name, freeze_at=freeze_at), (3, 8, 224, 224))
    assert (DOCS / f"{name}.svg").read_text(encoding="utf-8") == svg
