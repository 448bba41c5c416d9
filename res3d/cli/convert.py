"""``res3d convert``: a checkpoint of any origin to a safetensors file that rebuilds its model."""

from pathlib import Path
from typing import Any, Literal

import torch

from res3d.backbone import ClipClassifier, ResNet3d, count_parameters
from res3d.cli.command import UsageError
from res3d.cli.inputs import complain
from res3d.weights import (
    Channels,
    Inflation,
    LoadReport,
    WeightsError,
    WeightsSource,
    create_backbone,
    create_classifier,
    load_model,
    load_weights,
    open_weights,
    save_weights,
)


def convert(
    paths: list[str],
    *,
    model: str | None = None,
    head: Literal["keep", "drop"] = "keep",
    inflate: Inflation = "center",
    channels: Channels = "keep",
    stride_on: Literal["3x3", "1x1"] | None = None,
    shortcut: Literal["project", "pool_pad"] | None = None,
    norm: Literal["batch", "frozen_batch", "group", "sync_batch"] = "batch",
    norm_eps: float | None = None,
    half: bool = False,
    overwrite: bool = False,
) -> int:
    """Convert IN to OUT.safetensors, which res3d.load_model rebuilds the model from, and print what went where.

    A file that res3d wrote says itself what its model is, detector, classifier or backbone; --half makes it smaller.

    Args:
        paths: IN OUT - a checkpoint file or a name from res3d.list_weights(), and the file to write
        model: backbone, a name from res3d.list_backbones() or a YAML spec file; by default the registered weights' own
        head: keep makes a classifier if the checkpoint has one, drop leaves it aside
        inflate: how 2D kernels become 3D ones
        channels: what to do with the first convolution's input channels (reverse turns BGR weights into RGB ones)
        stride_on: where bottlenecks stride; Caffe2's weights need 1x1
        shortcut: kind of shortcut; 3D-ResNets' type A is pool_pad
        norm: kind of norm
        norm_eps: eps of the norms, if the checkpoint was trained with another one than 1e-5
        half: keep weights as float16, in half the space; load_model gives float32
        overwrite: replace OUT if it exists
    """
    if len(paths) != 2:
        raise UsageError(f"needs two paths, IN and OUT, not {len(paths)}")
    source, target = paths[0], Path(paths[1])
    if target.suffix != ".safetensors":
        raise UsageError(f"OUT must end in .safetensors, not {target.name!r}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists (--overwrite replaces it)")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder")
    overrides: dict[str, Any] = {
        k: v for k, v in {"stride_on": stride_on, "shortcut": shortcut}.items() if v is not None
    }
    dtype = torch.float16 if half else None
    try:
        opened = open_weights(source)
        if opened.is_saved:
            asked = (model, head, inflate, channels, norm, norm_eps) != (None, "keep", "center", "keep", "batch", None)
            if asked or overrides:
                raise UsageError(f"{source} says itself what its model is: it is copied as it is, or with --half")
            return _copy(opened, target, dtype)
        backbone = model or opened.spec
        if backbone is None:
            opened.recognise()  # a file that is no checkpoint, or of no known layout, has no backbone to name
            raise UsageError(f"--model: {source} does not say what backbone it belongs to; name one")
        classes = opened.num_classes if head == "keep" else None
        made: ResNet3d | ClipClassifier
        if classes is None:
            made = create_backbone(backbone, norm=norm, **overrides)
        else:
            made = create_classifier(backbone, classes, norm=norm, **overrides)
            made.trained_on, made.categories = opened.clip, opened.categories
        report = load_weights(made, opened, inflate=inflate, norm_eps=norm_eps, channels=channels)
        save_weights(made, target, dtype=dtype)
    except (WeightsError, OSError) as error:
        return complain("convert", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    _print_report(report, target, classes)
    return 0


def _copy(source: WeightsSource, target: Path, dtype: torch.dtype | None) -> int:
    model = load_model(source)
    save_weights(model, target, dtype=dtype)
    size = target.stat().st_size / 1e6
    print(
        f"{source.name}: a {type(model).__name__} of {count_parameters(model):,} parameters -> {target} ({size:.1f} MB)"
    )
    return 0


def _print_report(report: LoadReport, target: Path, classes: int | None) -> None:
    print(report)
    kind = "backbone" if classes is None else f"classifier of {classes} classes"
    print(f"wrote {target}: a {kind}; res3d.load_model({str(target)!r}) rebuilds it")
