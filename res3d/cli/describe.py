"""``res3d describe``: a network stage by stage, as a table to read or to paste, and as a drawing."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.command import Command, Keywords
from res3d.cli.computing import Computing
from res3d.cli.errors import UsageError, report_error
from res3d.files import write_whole
from res3d.settings import Choice, Group, Positional, Short, Shown

if TYPE_CHECKING:
    from res3d.backbone import ClipClassifier, ResNet3d

Clip = tuple[int, int, int, int]
DEFAULT_CLIP = (8, 224, 224)  # frames, height, width


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Options of a backbone that replace those of its spec."""

    width: float | None = None
    """Multiplier of every width."""
    in_channels: int | None = None
    """Channels of the clip."""
    temporal_kernel: int | None = None
    """Frames that the convolutions that span time span; 1 makes the 2D twin."""
    temporal_stride: int | None = None
    """Stride in time of the stages after conv2."""
    stride_on: Annotated[str | None, Choice(("3x3", "1x1"))] = None
    """Convolution of a bottleneck that takes the stride."""
    shortcut: Annotated[str | None, Shown("KIND")] = None
    """Kind of shortcut where the shape changes; none removes every shortcut."""
    attention: Annotated[str | None, Shown("KIND")] = None
    """What rescales the branches (squeeze_excite)."""
    output_stride: int | None = None
    """Pixels per position of the last map; stages beyond it are dilated."""

    def keywords(self) -> Keywords:
        """Return the options that are given, as ``create_backbone`` takes them."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class DescribeCommand(Command):
    """Print what a network does to a clip, stage by stage: layers, output shape, receptive field, parameters, cost."""

    names: Annotated[list[str], Positional("NAME ...")] = field(default_factory=list)
    """Backbones, names from res3d.list_backbones() or YAML spec files."""
    clip: Annotated[str | None, Group("network"), Shown("CxTxHxW")] = None
    """Size of the clip; by default 8x224x224, with the channels that the network takes."""
    classes: Annotated[int | None, Group("network")] = None
    """Adds a classifier of so many classes."""
    body: Annotated[str | None, Group("network"), Shown("STAGE")] = None
    """Stage to end after (conv4, conv5, ...)."""
    freeze_at: Annotated[int, Group("network")] = 0
    """How many leading stages are frozen (1 stem, 2 stem and conv2, ...)."""
    changes: Annotated[Changes, Short()] = field(default_factory=Changes)
    """Options that differ from the network's own."""
    markdown: Annotated[bool, Group("output")] = False
    """Print Markdown tables."""
    diagram: Annotated[Path | None, Group("output"), Shown("FILE.svg")] = None
    """Also draw the backbone into this SVG file."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """What is computed on."""

    def run(self) -> int:
        """Print tables."""
        if not self.names:
            raise UsageError("name a backbone; res3d.list_backbones() lists them, and YAML spec files are taken")
        self._check_diagram()
        size = None if self.clip is None else _parse_clip(self.clip)
        try:
            described = [self._describe(name, size) for name in self.names]
        except ValueError as error:
            raise UsageError(str(error)) from None
        except RuntimeError as error:  # sizes whose product no tensor can have
            raise UsageError(f"too large to be described ({error})") from None
        print("\n\n".join(table for table, _ in described))
        if self.diagram is not None:
            try:
                write_whole(self.diagram, described[-1][1])
            except OSError as error:
                return report_error("describe", f"{self.diagram}: cannot be written ({error.strerror})")
        return 0

    def _describe(self, name: str, size: Clip | None) -> tuple[str, str]:
        """The table of a network, and its drawing where one is asked for."""
        from res3d.backbone import ClipClassifier, describe
        from res3d.viz import draw_network

        model = self._create(name)
        backbone = model.backbone if isinstance(model, ClipClassifier) else model
        shape = size or (backbone.spec.in_channels, *DEFAULT_CLIP)
        table = describe(model, shape)
        drawing = "" if self.diagram is None else draw_network(backbone, shape)
        return table.to_markdown() if self.markdown else str(table), drawing

    def _create(self, name: str) -> "ResNet3d | ClipClassifier":
        import torch

        from res3d.weights import create_backbone, create_classifier

        keywords: Keywords = {"body": self.body, "freeze_at": self.freeze_at, **self.changes.keywords()}
        with torch.device("meta"):  # only shapes are asked for
            if self.classes is None:
                return create_backbone(name, **keywords)
            return create_classifier(name, self.classes, **keywords)

    def _check_diagram(self) -> None:
        if self.diagram is None:
            return
        if self.diagram.suffix != ".svg":
            raise UsageError(f"--diagram must end in .svg, not {self.diagram.name!r}")
        if len(self.names) > 1:
            raise UsageError(f"--diagram draws one network, not {len(self.names)}")
        if not self.diagram.parent.is_dir():
            raise UsageError(f"--diagram: {self.diagram.parent}: no such folder")


def _parse_clip(text: str) -> Clip:
    sizes = re.fullmatch("[x×]".join([r"([1-9]\d{0,5})"] * 4), text)
    if not sizes:
        raise UsageError(f"--clip must be CxTxHxW like 3x8x224x224, not {text!r}")
    c, t, h, w = map(int, sizes.groups())
    return c, t, h, w
