"""``res3d describe``: a network stage by stage, as a table and as a drawing."""

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
    """Options that replace values of a backbone's spec. None keeps the value of the spec."""

    width: float | None = None
    """Factor for the number of channels of every layer: 0.5 halves them."""
    in_channels: int | None = None
    """Number of input channels, for example 1 for gray videos."""
    temporal_kernel: int | None = None
    """Temporal kernel size of all convolutions that span several frames. An odd number; 1 makes the network 2D."""
    temporal_stride: int | None = None
    """Temporal stride of each stage after conv2: 2 halves the number of frames in each of them."""
    stride_on: Annotated[str | None, Choice(("3x3", "1x1"))] = None
    """Convolution of each bottleneck block that has the spatial stride."""
    shortcut: Annotated[str | None, Shown("TYPE")] = None
    """Shortcut type where the shape changes, for example project (1x1x1 convolution) or pool_pad (average pooling, with
    zeros in the new channels). none removes all shortcuts."""
    attention: Annotated[str | None, Shown("TYPE")] = None
    """Attention in every block: none or squeeze_excite."""
    output_stride: int | None = None
    """Spatial stride of the last feature map, in pixels of the clip, for example 16. Stages that would exceed it are
    dilated instead of strided."""

    def keywords(self) -> Keywords:
        """Return the options that are not None, as keyword arguments for ``create_backbone``."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class DescribeCommand(Command):
    """Print a table of a network: layers, output shape, receptive field, parameters and multiply-adds of each stage."""

    names: Annotated[list[str], Positional("NAME ...")] = field(default_factory=list)
    """Backbones: names from res3d.list_backbones(), or YAML spec files."""
    clip: Annotated[str | None, Group("network"), Shown("CxTxHxW")] = None
    """Size of the clip: channels x frames x height x width, for example 3x16x112x112. By default 8 frames of 224x224
    pixels, with the input channels of the network."""
    classes: Annotated[int | None, Group("network")] = None
    """Number of classes of a classifier on the backbone. By default the backbone alone is described."""
    body: Annotated[str | None, Group("network"), Shown("STAGE")] = None
    """Last stage of the backbone: conv4 leaves out conv5. By default all stages."""
    freeze_at: Annotated[int, Group("network")] = 0
    """Number of leading stages that are frozen: 0 none, 1 the stem, 2 the stem and conv2, and so on."""
    changes: Annotated[Changes, Short()] = field(default_factory=Changes)
    """Changes to the spec of the backbone."""
    markdown: Annotated[bool, Group("output")] = False
    """Print the tables in Markdown."""
    diagram: Annotated[Path | None, Group("output"), Shown("FILE.svg")] = None
    """SVG file to write a drawing of the backbone to."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    def run(self) -> int:
        """Print the tables and write the drawing."""
        if not self.names:
            raise UsageError("needs at least one backbone: a name from res3d.list_backbones() or a YAML spec file")
        self._check_diagram()
        size = None if self.clip is None else _parse_clip(self.clip)
        try:
            descriptions = [self._describe(name, size) for name in self.names]
        except ValueError as error:
            raise UsageError(str(error)) from None
        except RuntimeError as error:  # a tensor of the network would have too many elements
            raise UsageError(f"the network or the clip is too large ({error})") from None
        print("\n\n".join(table for table, _ in descriptions))
        if self.diagram is not None:
            try:
                write_whole(self.diagram, descriptions[-1][1])
            except OSError as error:
                return report_error("describe", f"{self.diagram}: cannot be written ({error.strerror})")
        return 0

    def _describe(self, name: str, size: Clip | None) -> tuple[str, str]:
        """Return the table of a network, and its drawing as SVG ("" without ``diagram``)."""
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
        with torch.device("meta"):  # shapes are enough
            if self.classes is None:
                return create_backbone(name, **keywords)
            return create_classifier(name, self.classes, **keywords)

    def _check_diagram(self) -> None:
        if self.diagram is None:
            return
        if self.diagram.suffix != ".svg":
            raise UsageError(f"--diagram must end in .svg, not {self.diagram.name!r}")
        if len(self.names) > 1:
            raise UsageError(f"--diagram accepts one network, not {len(self.names)}")
        if not self.diagram.parent.is_dir():
            raise UsageError(f"--diagram: {self.diagram.parent}: no such folder")


def _parse_clip(text: str) -> Clip:
    sizes = re.fullmatch("[x×]".join([r"([1-9]\d{0,5})"] * 4), text)
    if not sizes:
        raise UsageError(f"--clip must be CxTxHxW like 3x8x224x224, not {text!r}")
    c, t, h, w = map(int, sizes.groups())
    return c, t, h, w
