"""``res3d convert``: a checkpoint of any origin to a safetensors file that rebuilds its model."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.command import Command, Keywords
from res3d.cli.computing import Computing
from res3d.cli.errors import UsageError, report_error
from res3d.settings import Choice, Positional, Short, Shown

if TYPE_CHECKING:
    import torch

    from res3d.backbone import BackboneSpec, ClipClassifier, ResNet3d
    from res3d.weights import LoadReport, WeightsSource


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the tensors of a checkpoint become those of a model."""

    model: Annotated[str | None, Shown("NAME|FILE")] = None
    """Backbone, a name from res3d.list_backbones() or a YAML spec file; by default the registered weights' own."""
    head: Annotated[str, Choice(("keep", "drop"))] = "keep"
    """With keep, a checkpoint that has a classifier becomes one; drop leaves it aside."""
    inflate: Annotated[str, Choice("res3d.weights.inflation:INFLATIONS")] = "center"
    """How 2D kernels become 3D ones."""
    channels: Annotated[str, Choice("res3d.weights.inflation:CHANNELS")] = "keep"
    """What to do with the first convolution's input channels; reverse turns BGR weights into RGB ones."""
    stride_on: Annotated[str | None, Choice(("3x3", "1x1"))] = None
    """Where bottlenecks stride; Caffe2's weights need 1x1."""
    shortcut: Annotated[str | None, Choice(("project", "pool_pad"))] = None
    """Kind of shortcut; 3D-ResNets' type A is pool_pad."""
    norm: Annotated[str, Choice("res3d.backbone.norms:NORMS")] = "batch"
    """Kind of norm."""
    norm_eps: float | None = None
    """Eps of the norms, if the checkpoint was trained with another one than 1e-5."""


@dataclass(frozen=True, kw_only=True)
class ConvertCommand(Command):
    """Convert IN to OUT.safetensors, which res3d.load_model rebuilds the model from, and print what went where.

    A file that res3d wrote says itself what its model is, detector, classifier or backbone; --half makes it smaller.
    """

    paths: Annotated[list[str], Positional("IN OUT")] = field(default_factory=list)
    """A checkpoint file or a name from res3d.list_weights(), and the file to write."""
    reading: Annotated[Reading, Short()] = field(default_factory=Reading)
    """How the tensors of the checkpoint become those of a model."""
    half: bool = False
    """Keep weights as float16, in half the space; load_model gives float32."""
    overwrite: bool = False
    """Replace OUT if it exists."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """What is computed on."""

    def run(self) -> int:
        """Write OUT."""
        import torch

        from res3d.weights import WeightsError, open_weights

        source, target = self._check_paths()
        dtype = torch.float16 if self.half else None
        try:
            opened = open_weights(source)
            if not opened.is_saved:
                return self._convert(opened, target, dtype)
            if self._changed():
                raise UsageError(f"{source} says itself what its model is: it is copied as it is, or with --half")
            return _copy(opened, target, dtype)
        except (WeightsError, OSError) as error:
            return report_error("convert", str(error))
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _check_paths(self) -> tuple[str, Path]:
        if len(self.paths) != 2:
            raise UsageError(f"needs two paths, IN and OUT, not {len(self.paths)}")
        source, target = self.paths[0], Path(self.paths[1])
        if target.suffix != ".safetensors":
            raise UsageError(f"OUT must end in .safetensors, not {target.name!r}")
        if target.exists() and not self.overwrite:
            raise UsageError(f"{target} exists (--overwrite replaces it)")
        if not target.parent.is_dir():
            raise UsageError(f"{target.parent}: no such folder")
        return source, target

    def _changed(self) -> bool:
        usual = Reading()
        return any(getattr(self.reading, f.name) != getattr(usual, f.name) for f in fields(usual))

    def _convert(self, source: "WeightsSource", target: Path, dtype: "torch.dtype | None") -> int:
        from res3d.weights import create_backbone, create_classifier, load_weights, save_weights

        reading = self.reading
        keywords: Keywords = {"norm": reading.norm, "stride_on": reading.stride_on, "shortcut": reading.shortcut}
        keywords = {name: value for name, value in keywords.items() if value is not None}
        name = self._backbone(source)
        classes = source.num_classes if reading.head == "keep" else None
        made: ResNet3d | ClipClassifier
        if classes is None:
            made = create_backbone(name, **keywords)
        else:
            made = create_classifier(name, classes, **keywords)
            made.trained_on, made.categories = source.clip, source.categories
        ways: Keywords = {"inflate": reading.inflate, "channels": reading.channels}
        report = load_weights(made, source, norm_eps=reading.norm_eps, **ways)
        save_weights(made, target, dtype=dtype)
        _print_report(report, target, classes)
        return 0

    def _backbone(self, source: "WeightsSource") -> "str | BackboneSpec":
        backbone = self.reading.model or source.spec
        if backbone is None:
            source.recognise()  # a file that is no checkpoint, or of no known layout, has no backbone to name
            raise UsageError(f"--model: {source.name} does not say what backbone it belongs to; name one")
        return backbone


def _copy(source: "WeightsSource", target: Path, dtype: "torch.dtype | None") -> int:
    from res3d.backbone import count_parameters
    from res3d.weights import load_model, save_weights

    model = load_model(source)
    save_weights(model, target, dtype=dtype)
    size = target.stat().st_size / 1e6
    kind = type(model).__name__
    print(f"{source.name}: a {kind} of {count_parameters(model):,} parameters -> {target} ({size:.1f} MB)")
    return 0


def _print_report(report: "LoadReport", target: Path, classes: int | None) -> None:
    print(report)
    kind = "backbone" if classes is None else f"classifier of {classes} classes"
    print(f"wrote {target}: a {kind}; res3d.load_model({str(target)!r}) rebuilds it")
