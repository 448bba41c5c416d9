"""``res3d convert``: convert a checkpoint of another project to a safetensors file that rebuilds the model."""

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
    """Settings for the conversion of a checkpoint of another project to a res3d model."""

    model: Annotated[str | None, Shown("NAME|FILE")] = None
    """Backbone of the checkpoint: a name from res3d.list_backbones(), or a YAML spec file. Required if the checkpoint
    does not record its backbone, as files of other projects usually do not."""
    head: Annotated[str, Choice(("keep", "drop"))] = "keep"
    """Classifier layer of the checkpoint. keep writes a classifier if the checkpoint has such a layer; drop writes the
    backbone only."""
    inflate: Annotated[str, Choice("res3d.weights.inflation:INFLATIONS")] = "center"
    """Inflation of 2D kernels to 3D kernels. center puts the 2D kernel at the middle frame, with zeros elsewhere; mean
    divides it over all frames (I3D); repeat copies it to all frames; center_noise is center with Gaussian noise of
    standard deviation 0.001 instead of the zeros; center_noise_divided reproduces Detect-and-Track's released code."""
    channels: Annotated[str, Choice("res3d.weights.inflation:CHANNELS")] = "keep"
    """Change of the input channels of the first convolution. keep changes nothing; reverse converts BGR weights to RGB;
    sum makes weights for gray images of one channel; repeat makes weights for any number of channels."""
    stride_on: Annotated[str | None, Choice(("3x3", "1x1"))] = None
    """Convolution of each bottleneck block that has the spatial stride. Caffe2 weights need 1x1. By default as in the
    backbone's spec."""
    shortcut: Annotated[str | None, Choice(("project", "pool_pad"))] = None
    """Shortcut type where the shape changes: project is a 1x1x1 convolution (type B of 3D-ResNets), pool_pad is average
    pooling with zeros in the new channels (type A). By default as in the backbone's spec."""
    norm: Annotated[str, Choice("res3d.backbone.norms:NORMS")] = "batch"
    """Normalization layers of the model. frozen_batch is batch norm with fixed statistics, sync_batch is batch norm
    synchronized between processes."""
    norm_eps: float | None = None
    """Epsilon of all normalization layers, if the checkpoint was trained with a different value than 1e-5."""


@dataclass(frozen=True, kw_only=True)
class ConvertCommand(Command):
    """Convert a checkpoint to a model file that res3d.load_model reads, and print which tensors were loaded.

    A file that res3d wrote contains the description of its model (backbone, classifier or detector). It is copied
    without other options than --half, which makes it smaller.
    """

    paths: Annotated[list[str], Positional("IN OUT")] = field(default_factory=list)
    """IN is a checkpoint file or a name from res3d.list_weights(). OUT is the file to write; its name must end in
    .safetensors."""
    reading: Annotated[Reading, Short()] = field(default_factory=Reading)
    """Conversion of a checkpoint of another project."""
    half: bool = False
    """Store the weights as float16, in half the space. res3d.load_model converts them to float32."""
    overwrite: bool = False
    """Replace OUT if it exists."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    def run(self) -> int:
        """Convert IN and write OUT."""
        import torch

        from res3d.weights import WeightsError, open_weights

        source, target = self._check_paths()
        dtype = torch.float16 if self.half else None
        try:
            weights = open_weights(source)
            if not weights.is_saved:
                return self._convert(weights, target, dtype)
            if self._has_reading_options():
                raise UsageError(f"{source} is a res3d model file, which accepts no options of a conversion but --half")
            return _copy(weights, target, dtype)
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

    def _has_reading_options(self) -> bool:
        """Return whether any setting of ``reading`` differs from its default."""
        default = Reading()
        return any(getattr(self.reading, f.name) != getattr(default, f.name) for f in fields(default))

    def _convert(self, source: "WeightsSource", target: Path, dtype: "torch.dtype | None") -> int:
        from res3d.weights import create_backbone, create_classifier, load_weights, save_weights

        reading = self.reading
        keywords: Keywords = {"norm": reading.norm, "stride_on": reading.stride_on, "shortcut": reading.shortcut}
        keywords = {name: value for name, value in keywords.items() if value is not None}
        name = self._backbone(source)
        classes = source.num_classes if reading.head == "keep" else None
        model: ResNet3d | ClipClassifier
        if classes is None:
            model = create_backbone(name, **keywords)
        else:
            model = create_classifier(name, classes, **keywords)
            model.trained_on, model.categories = source.clip, source.categories
        changes: Keywords = {"inflate": reading.inflate, "channels": reading.channels}
        report = load_weights(model, source, norm_eps=reading.norm_eps, **changes)
        save_weights(model, target, dtype=dtype)
        _print_report(report, target, classes)
        return 0

    def _backbone(self, source: "WeightsSource") -> "str | BackboneSpec":
        backbone = self.reading.model or source.spec
        if backbone is None:
            source.recognise()  # raises a better error for a file that is not a checkpoint or has an unknown layout
            raise UsageError(f"--model is required: {source.name} does not record the name of its backbone")
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
