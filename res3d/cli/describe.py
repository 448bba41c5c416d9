"""``res3d describe``: a network stage by stage, as a table to read or to paste, and as a drawing."""

import re
from pathlib import Path
from typing import Any, Literal

import torch

from res3d.backbone import ClipClassifier, ResNet3d
from res3d.backbone import describe as describe_model
from res3d.cli.command import UsageError
from res3d.cli.inputs import complain
from res3d.files import write_whole
from res3d.viz import draw_network
from res3d.weights import create_backbone, create_classifier

Clip = tuple[int, int, int, int]
DEFAULT_CLIP = (8, 224, 224)  # frames, height, width


def describe(
    names: list[str],
    *,
    clip: str | None = None,
    classes: int | None = None,
    body: str | None = None,
    freeze_at: int = 0,
    width: float | None = None,
    in_channels: int | None = None,
    temporal_kernel: int | None = None,
    temporal_stride: int | None = None,
    stride_on: Literal["3x3", "1x1"] | None = None,
    shortcut: str | None = None,
    attention: str | None = None,
    output_stride: int | None = None,
    markdown: bool = False,
    diagram: Path | None = None,
) -> int:
    """Print what a network does to a clip, stage by stage: layers, output shape, receptive field, parameters, cost.

    Args:
        names: NAME ... - backbones, names from res3d.list_backbones() or YAML spec files
        clip: size of the clip, CxTxHxW like 3x8x224x224; by default that, with the channels that the network takes
        classes: adds a classifier of so many classes
        body: stage to end after (conv4, conv5, ...)
        freeze_at: how many leading stages are frozen (1 stem, 2 stem and conv2, ...)
        width: multiplier of every width
        in_channels: channels of the clip
        temporal_kernel: frames that the convolutions that span time span; 1 makes the 2D twin
        temporal_stride: stride in time of the stages after conv2
        stride_on: which convolution of a bottleneck takes the stride
        shortcut: kind of shortcut where the shape changes; none removes every shortcut
        attention: what rescales the branches (squeeze_excite)
        output_stride: pixels per position of the last map; stages beyond it are dilated
        markdown: print Markdown tables
        diagram: also draw the backbone into this SVG file
    """
    if not names:
        raise UsageError("name a backbone; res3d.list_backbones() lists them, and YAML spec files are taken")
    if diagram is not None:
        _check_diagram(diagram, names)
    size = None if clip is None else _parse_clip(clip)
    changes: dict[str, Any] = {
        "width": width,
        "in_channels": in_channels,
        "temporal_kernel": temporal_kernel,
        "temporal_stride": temporal_stride,
        "stride_on": stride_on,
        "shortcut": shortcut,
        "attention": attention,
        "output_stride": output_stride,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    try:
        tables = []
        for name in names:
            model = _create(name, classes, body=body, freeze_at=freeze_at, **changes)
            backbone = model.backbone if isinstance(model, ClipClassifier) else model
            shape = size or (backbone.spec.in_channels, *DEFAULT_CLIP)
            table = describe_model(model, shape)
            tables.append(table.to_markdown() if markdown else str(table))
            drawing = draw_network(backbone, shape) if diagram is not None else ""
    except ValueError as error:
        raise UsageError(str(error)) from None
    except RuntimeError as error:  # sizes whose product no tensor can have
        raise UsageError(f"too large to be described ({error})") from None
    print("\n\n".join(tables))
    if diagram is not None:
        try:
            write_whole(diagram, drawing)
        except OSError as error:
            return complain("describe", f"{diagram}: cannot be written ({error.strerror})")
    return 0


def _create(name: str, classes: int | None, **keywords: Any) -> ResNet3d | ClipClassifier:
    with torch.device("meta"):  # only shapes are asked for
        if classes is None:
            return create_backbone(name, **keywords)
        return create_classifier(name, classes, **keywords)


def _parse_clip(text: str) -> Clip:
    sizes = re.fullmatch("[x×]".join([r"([1-9]\d{0,5})"] * 4), text)
    if not sizes:
        raise UsageError(f"--clip must be CxTxHxW like 3x8x224x224, not {text!r}")
    c, t, h, w = map(int, sizes.groups())
    return c, t, h, w


def _check_diagram(diagram: Path, names: list[str]) -> None:
    if diagram.suffix != ".svg":
        raise UsageError(f"--diagram must end in .svg, not {diagram.name!r}")
    if len(names) > 1:
        raise UsageError(f"--diagram draws one network, not {len(names)}")
    if not diagram.parent.is_dir():
        raise UsageError(f"--diagram: {diagram.parent}: no such folder")
