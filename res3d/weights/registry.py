"""Registry of published weights: URL, training data, licence, accuracy and clip spec by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

from res3d.clips import ClipSpec
from res3d.settings import did_you_mean

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsEntry:
    """Registry entry of one published checkpoint.

    The checkpoint of a detector fits a detector (``res3d.detection.mask_rcnn_3d``), and its backbone alone fits
    ``model``.
    """

    name: str
    """"origin/model.dataset[_v2]"."""
    model: str
    """Name in the catalog of the backbone that the checkpoint fits."""
    url: str
    sha256: str | None
    """First digits of the file's SHA-256 (hex); None if the origin does not publish them."""
    megabytes: float | None
    """Size of the file; None if the origin does not publish it."""
    licence: str
    dataset: str
    """Name of the training dataset."""
    categories: tuple[str, ...] | None
    """Class names in the order of the outputs; the first one of a detector is the background."""
    accuracy: Mapping[str, float]
    """Published results in percent, by metric ("top1", "top5", "box_map", ...); ``note`` has the protocol."""
    clip: ClipSpec
    """The clips that the checkpoint was trained on."""
    norm_eps: float = 1e-5
    """Eps of the norms in training."""
    task: Literal["classification", "detection"] = "classification"
    note: str = ""
    """Protocol of the published results, and whether kernels are inflated."""

    @property
    def preprocessing(self) -> dict[str, object]:
        """The fields of ``clip`` as plain values, with length and step renamed to ``clip_length`` and ``clip_step``."""
        names = {"length": "clip_length", "step": "clip_step"}
        return {names.get(name, name): getattr(self.clip, name) for name in self.clip.to_dict()}

    @property
    def file_name(self) -> str:
        """Name of the file: the last part of ``url``."""
        return PurePosixPath(self.url).name


def list_weights(pattern: str = "*") -> dict[str, WeightsEntry]:
    """Return the registry entries whose names match a shell-style ``pattern``, by name, sorted."""
    return {name: entry for name, entry in sorted(_registry().items()) if fnmatchcase(name, pattern)}


def is_registered(source: object) -> bool:
    """Return True if ``source`` starts with a registered origin ("origin/model.dataset") and no file has that path."""
    origins = {name.partition("/")[0] for name in _registry()}
    return isinstance(source, str) and source.partition("/")[0] in origins and not Path(source).exists()


def find_weights(name: str) -> WeightsEntry:
    """Return the registry entry ``name``.

    Raises:
        ValueError: an unknown name; the message suggests a similar one.
    """
    if name not in _registry():
        hint = did_you_mean(name, _registry())
        raise ValueError(f"no weights are registered as {name!r}{hint} (see res3d.list_weights())")
    return _registry()[name]


@cache
def _registry() -> dict[str, WeightsEntry]:
    entries = [*_torchvision_video(), *_torchvision_images(), *_torchvision_detectors(), *_pytorchvideo()]
    return {entry.name: entry for entry in entries}


def _torchvision(enum: type[Enum], model: str, name: str, note: str, clip: ClipSpec) -> Iterator[WeightsEntry]:
    """Yield an entry for each member of a weights enum of torchvision; its transforms complete ``clip``."""
    for member in enum:
        weights = member.value
        preset = weights.transforms()
        dataset, metrics = next(iter(weights.meta["_metrics"].items()))
        label, _, version = member.name.lower().rpartition("_v")
        resize = tuple(preset.resize_size)
        crop = tuple(preset.crop_size) * (2 if len(preset.crop_size) == 1 else 1)
        yield WeightsEntry(
            name=f"torchvision/{name}.{label}" + ("" if version == "1" else f"_v{version}"),
            model=model,
            url=weights.url,
            sha256=PurePosixPath(weights.url).stem.rpartition("-")[2],
            megabytes=weights.meta["_file_size"],
            licence="BSD-3-Clause (torchvision); see the terms of the dataset",
            dataset=dataset,
            categories=tuple(weights.meta["categories"]),
            accuracy={"top1": metrics["acc@1"], "top5": metrics["acc@5"]},
            clip=replace(
                clip,
                resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
                crop=(crop[0], crop[1]),
                mean=tuple(preset.mean),
                std=tuple(preset.std),
            ),
            note=note,
        )


def _torchvision_video() -> Iterator[WeightsEntry]:
    from torchvision.models import video

    enums = {"r3d_18": video.R3D_18_Weights, "mc3_18": video.MC3_18_Weights, "r2plus1d_18": video.R2Plus1D_18_Weights}
    note = "accuracy over 5 clips per video"
    for name, enum in enums.items():
        yield from _torchvision(enum, name, name, note, ClipSpec(length=16, fps=15.0))


def _torchvision_images() -> Iterator[WeightsEntry]:
    from torchvision.models import resnet

    enums = {
        "resnet18": resnet.ResNet18_Weights,
        "resnet34": resnet.ResNet34_Weights,
        "resnet50": resnet.ResNet50_Weights,
        "resnet101": resnet.ResNet101_Weights,
        "resnet152": resnet.ResNet152_Weights,
        "resnext50_32x4d": resnet.ResNeXt50_32X4D_Weights,
        "resnext101_32x8d": resnet.ResNeXt101_32X8D_Weights,
        "resnext101_64x4d": resnet.ResNeXt101_64X4D_Weights,
        "wide_resnet50_2": resnet.Wide_ResNet50_2_Weights,
        "wide_resnet101_2": resnet.Wide_ResNet101_2_Weights,
    }
    note = "of images; inflated into the 3D body, which has the same accuracy on clips of equal frames"
    for name, enum in enums.items():
        yield from _torchvision(enum, f"{name}_3d", name, note, ClipSpec(length=1, antialias=True))


def _torchvision_detectors() -> Iterator[WeightsEntry]:
    from torchvision.models import detection

    enums = {
        "fasterrcnn_resnet50_fpn": detection.FasterRCNN_ResNet50_FPN_Weights,
        "fasterrcnn_resnet50_fpn_v2": detection.FasterRCNN_ResNet50_FPN_V2_Weights,
        "maskrcnn_resnet50_fpn": detection.MaskRCNN_ResNet50_FPN_Weights,
        "maskrcnn_resnet50_fpn_v2": detection.MaskRCNN_ResNet50_FPN_V2_Weights,
        "keypointrcnn_resnet50_fpn": detection.KeypointRCNN_ResNet50_FPN_Weights,
    }
    for name, enum in enums.items():
        for member in enum:
            weights = member.value
            dataset, metrics = next(iter(weights.meta["_metrics"].items()))
            label = member.name.lower().removesuffix("_v1")
            yield WeightsEntry(
                name=f"torchvision/{name}.{label}",
                model="resnet50_3d",
                url=weights.url,
                sha256=PurePosixPath(weights.url).stem.rpartition("-")[2],
                megabytes=weights.meta["_file_size"],
                licence="BSD-3-Clause (torchvision); see the terms of the dataset",
                dataset=dataset,
                categories=tuple(weights.meta["categories"]),
                accuracy=dict(metrics),
                clip=ClipSpec(length=1, resize=800, mean=IMAGENET_MEAN, std=IMAGENET_STD),
                # As torchvision, which trained these with eps 0 before it changed its default (pytorch/vision#2933).
                norm_eps=0.0 if label == "coco" and not name.endswith("_v2") else 1e-5,
                task="detection",
                note="of images; inflated into the 3D detector, which gives the same boxes on clips of equal frames",
            )


# PyTorchVideo's model zoo, which publishes no hashes: backbone, file, clip length, step, top-1, top-5 (of 30 views).
_PYTORCHVIDEO_ROOT = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
_PYTORCHVIDEO_ROWS: list[tuple[str, str, int, int, float, float]] = [
    ("c2d_r50", "C2D_8x8_R50.pyth", 8, 8, 71.46, 89.68),
    ("i3d_r50", "I3D_8x8_R50.pyth", 8, 8, 73.27, 90.70),
    ("slow_r50", "SLOW_8x8_R50.pyth", 8, 8, 74.58, 91.63),
    ("r2plus1d_r50", "R2PLUS1D_16x4_R50.pyth", 16, 4, 76.01, 92.23),
    ("csn_r101", "CSN_32x2_R101.pyth", 32, 2, 77.00, 92.90),
]


def _pytorchvideo() -> Iterator[WeightsEntry]:
    from torchvision.models.video import R3D_18_Weights

    # Both projects number the classes of Kinetics-400 in alphabetical order.
    categories = tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"])
    for model, file, length, step, top1, top5 in _PYTORCHVIDEO_ROWS:
        yield WeightsEntry(
            name=f"pytorchvideo/{model}.kinetics400",
            model=model,
            url=f"{_PYTORCHVIDEO_ROOT}/{file}",
            sha256=None,
            megabytes=None,
            licence="Apache-2.0 (PyTorchVideo); see the terms of the dataset",
            dataset="Kinetics-400",
            categories=categories,
            accuracy={"top1": top1, "top5": top5},
            clip=ClipSpec(
                length=length,
                step=step,
                fps=30.0,
                resize=256,
                crop=(256, 256),
                mean=(0.45, 0.45, 0.45),
                std=(0.225, 0.225, 0.225),
            ),
            note="accuracy over 10 clips × 3 crops per video",
        )
