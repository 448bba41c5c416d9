"""``mask_rcnn_3d``: a detector from the names of its backbone and its family."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from res3d.backbone import OVERRIDES, BackboneSpec, ConvSpec, StageSpec, apply_overrides, resolve_spec
from res3d.detection.anchors import AnchorSpec
from res3d.detection.box_head import BoxHeadSpec
from res3d.detection.families import FAMILIES, DetectorFamily
from res3d.detection.keypoint_head import KeypointHeadSpec
from res3d.detection.layouts import DETECTOR_LAYOUTS
from res3d.detection.mask_head import MaskHeadSpec
from res3d.detection.mask_rcnn import MaskRCNN3d
from res3d.detection.neck import NeckSpec
from res3d.detection.proposals import ProposalSpec
from res3d.detection.settings import DetectorSettings
from res3d.detection.spec import TASKS, DetectorSpec
from res3d.detection.task_head import TaskSpec
from res3d.settings import build_dataclass, did_you_mean
from res3d.settings.types import Value
from res3d.structures import Category
from res3d.weights import (
    INFLATIONS,
    Inflation,
    Source,
    WeightsError,
    WeightsSource,
    describe_misfits,
    load_weights,
    open_weights,
)

NECKS = ("fpn", "c4")
SETTINGS = tuple(f.name for f in fields(DetectorSettings))
"""Names of the fields of ``DetectorSettings``."""


def mask_rcnn_3d(
    backbone: str | Path | BackboneSpec = "resnet18_3d",
    num_classes: int = 91,
    *,
    weights: Source | None = None,
    weights_backbone: Source | None = None,
    neck: Literal["fpn", "c4"] = "fpn",
    mask: bool = True,
    keypoints: int | None = None,
    tasks: Mapping[str, TaskSpec | Mapping[str, Any]] | None = None,
    design: str | None = None,
    channels: int = 256,
    anchor_sizes: Sequence[int] | None = None,
    temporal_kernel: int | None = None,
    categories: Sequence[Category] = (),
    inflate: Inflation = "center",
    norm_eps: float | None = None,
    freeze_at: int = 0,
    checkpoint_stages: Sequence[str] = (),
    **options: Any,
) -> MaskRCNN3d:
    """Build a detector of tubes.

    Args:
        backbone: a name, a file or a spec, as in ``create_backbone``.
        num_classes: number of classes, including the background (91 in COCO's numbering).
        weights: weights of a whole detector, a source that ``load_weights`` accepts: torchvision's Faster, Mask or
            Keypoint R-CNN, Detect-and-Track, or res3d.
        weights_backbone: weights of the backbone alone, see ``create_backbone``; used if ``weights`` is None.
        neck: "fpn": a feature pyramid. "c4": the heads use the feature map of conv4, and conv5 is part of the box head.
        mask: True adds a mask head.
        keypoints: number of keypoints of the keypoint head; None: no keypoint head.
        tasks: other heads by field of ``DetectorSpec``: their specs, or mappings of the specs' fields. Only
            ``temporal_kernel`` changes them.
        design: the family of the detector, a key of ``FAMILIES``; None: the family of ``weights``, or "torchvision"
            without weights.
        channels: width of the pyramid. The widths of the heads are proportional to it.
        anchor_sizes: sides of the anchors in pixels. A pyramid needs one per level, finest first; "c4" uses all of them
            on its single level. None: the sizes of the design.
        temporal_kernel: kernel size in time of all parts that span time, in the backbone and the heads; 1 gives a 2D
            detector. None: the kernels of the backbone spec, 3 for proposals and keypoints, 1 for neck, boxes and
            masks.
        categories: categories of the labels 1, 2, ...; one for each label, or none at all.
        inflate: how 2D weights become 3D, see ``load_weights``.
        norm_eps: eps of all norms; None: the eps that the weights define, else the eps of the spec.
        freeze_at: number of leading stages of the backbone that are frozen.
        checkpoint_stages: stages of the backbone that recompute their activations in the backward pass.
        **options: fields of ``DetectorSettings``, under torchvision's names (``box_score_thresh``, ``min_size``, ...),
            and changes of the backbone as in ``create_backbone`` (``width``, ``norm``, ...).

    Raises:
        ValueError: an unknown name or option, or an invalid value; the message lists what is accepted.
        WeightsError: the weights do not fit this detector.
    """
    source = None if weights is None else open_weights(weights)
    family = _family(design, source)
    check_settings(options, *_keyword_names())
    _check_keywords(family, neck, channels, temporal_kernel, anchor_sizes, inflate)
    overrides = {name: value for name, value in options.items() if name in OVERRIDES}
    if norm_eps is not None:
        overrides["norm_eps"] = norm_eps
    body = apply_overrides(resolve_spec(backbone), **overrides)
    if temporal_kernel is not None and _spans_time(body):
        body = apply_overrides(body, temporal_kernel=temporal_kernel)
    spec = DetectorSpec(
        name=f"mask_rcnn_3d {body.name}",
        num_classes=num_classes,
        backbone=body if neck == "fpn" else body.split("conv4")[0],
        neck=NeckSpec(channels=channels, norm=family.norm) if neck == "fpn" else None,
        proposals=_proposals(family, neck, anchor_sizes, len(body.stages)),
        box=_box_head(family, neck, body, channels),
        box_offset=family.box_offset,
        channel_order=family.channel_order,
        categories=tuple(categories),
        **_heads(family, channels, mask=mask, keypoints=keypoints, tasks=tasks or {}),
    )
    spec = spec if temporal_kernel is None else spec.with_temporal_kernel(temporal_kernel)
    settings = {**family.settings, **{name: value for name, value in options.items() if name in SETTINGS}}
    model = MaskRCNN3d(spec, DetectorSettings(**settings), freeze_at=freeze_at, checkpoint_stages=checkpoint_stages)
    if norm_eps is not None:
        model.set_norm_eps(norm_eps)
    if source is not None:
        load_weights(model, source, inflate=inflate, norm_eps=norm_eps)
    elif weights_backbone is not None:
        _load_backbone(model, weights_backbone, inflate)
    return model


def _family(name: str | None, source: WeightsSource | None) -> DetectorFamily:
    """Return the family called ``name``; if ``name`` is None, the family whose layout the weights have."""
    if name is None and source is not None:
        layout = source.recognise(DETECTOR_LAYOUTS)
        return next((row for row in FAMILIES.values() if row.layout.name == layout.name), FAMILIES["torchvision"])
    if name is not None and name not in FAMILIES:
        raise ValueError(f"design must be one of {', '.join(map(repr, FAMILIES))}, not {name!r}")
    return FAMILIES[name or "torchvision"]


def _keyword_names() -> list[str]:
    """Return the keywords of ``mask_rcnn_3d``, including the options that change the backbone."""
    names = [p.name for p in signature(mask_rcnn_3d).parameters.values() if p.kind is not p.VAR_KEYWORD]
    return [*names, *(name for name in OVERRIDES if name not in names)]


def _check_keywords(
    family: DetectorFamily,
    neck: str,
    channels: int,
    temporal_kernel: int | None,
    anchor_sizes: Sequence[int] | None,
    inflate: str,
) -> None:
    if neck not in NECKS:
        raise ValueError(f"neck must be 'fpn' or 'c4', not {neck!r}")
    if neck not in family.necks:
        accepted = " or ".join(map(repr, family.necks))
        raise ValueError(f"neck must be {accepted} for the design {family.layout.name}, not {neck!r}")
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise ValueError(f"channels must be a whole number ≥ 1, not {channels!r}")
    if temporal_kernel is not None and not (isinstance(temporal_kernel, int) and temporal_kernel % 2 == 1):
        raise ValueError(f"temporal_kernel must be an odd number of frames, not {temporal_kernel!r}")
    if anchor_sizes is not None and not (anchor_sizes and all(isinstance(side, int) for side in anchor_sizes)):
        raise ValueError(f"anchor_sizes must be a list of whole pixels like [32, 64, ...], not {anchor_sizes!r}")
    if inflate not in INFLATIONS:
        raise ValueError(f"inflate must be one of {', '.join(map(repr, INFLATIONS))}, not {inflate!r}")


def check_settings(options: Mapping[str, object], *others: str) -> None:
    """Raise ValueError unless every option is a field of ``DetectorSettings`` or one of ``others``."""
    accepted = (*SETTINGS, *others)
    for name in options:
        if name not in accepted:
            hint = did_you_mean(name, accepted)
            raise ValueError(f"unknown option {name!r}{hint} (accepted: {', '.join(accepted)})")


def _spans_time(spec: BackboneSpec) -> bool:
    """Return whether any convolution of the backbone has a temporal kernel above 1."""
    convs = [spec.stem.conv, *(conv for stage in spec.stages for block in stage.blocks for conv in block.convs)]
    return any(conv.kernel[0] > 1 for conv in convs)


def _proposals(family: DetectorFamily, neck: str, sizes: Sequence[int] | None, stages: int) -> ProposalSpec:
    if neck == "fpn":
        levels: tuple[tuple[int, ...], ...] = tuple((side,) for side in sizes or family.anchor_sizes[: stages + 1])
    else:
        levels = (tuple(sizes or family.anchor_sizes),)
    anchors = AnchorSpec(sizes=levels, placement=family.anchor_placement)
    return ProposalSpec(anchors=anchors, depth=family.proposal_depth)


def _box_head(family: DetectorFamily, neck: str, body: BackboneSpec, channels: int) -> BoxHeadSpec:
    if neck == "c4":
        stages = tuple(_head_stage(stage, family.conv5_kernel) for stage in body.split("conv4")[1])
        return BoxHeadSpec(stages=stages, fcs=())
    return BoxHeadSpec(
        convs=tuple(channels * n for n in family.box_convs),
        fcs=tuple(channels * n for n in family.box_fcs),
        norm=family.norm,
    )


def _head_stage(stage: StageSpec, temporal_kernel: int | None) -> StageSpec:
    """Return a backbone stage for use in the box head: without stride, as its input is only 7×7.

    ``temporal_kernel`` limits the kernels in time; None leaves them as they are.
    """

    def kernel(conv: ConvSpec) -> ConvSpec:
        frames = conv.kernel[0] if temporal_kernel is None else min(conv.kernel[0], temporal_kernel)
        return replace(conv, kernel=(frames, *conv.kernel[1:]))

    blocks = tuple(replace(block, convs=tuple(map(kernel, block.convs))) for block in stage.blocks)
    return replace(stage, blocks=blocks, stride=(1, 1, 1), pool=None)


def _heads(
    family: DetectorFamily,
    channels: int,
    *,
    mask: bool,
    keypoints: int | None,
    tasks: Mapping[str, TaskSpec | Mapping[str, Value]],
) -> dict[str, Value]:
    """Return the heads besides the box head, by field of ``DetectorSpec``.

    ``mask`` and ``keypoints`` give the family's heads; ``tasks`` adds to them and replaces them.
    """
    heads: dict[str, TaskSpec] = {}
    if mask:
        heads["mask"] = replace(MaskHeadSpec.for_channels(channels), **family.heads.get("mask", {}))
    if keypoints is not None:
        spec = KeypointHeadSpec.for_channels(channels, keypoints)
        heads["keypoints"] = replace(spec, **family.heads.get("keypoints", {}))
    for name, task in tasks.items():
        if name not in TASKS:
            hint = did_you_mean(str(name), TASKS)
            raise ValueError(f"tasks: unknown head {name!r}{hint} (accepted: {', '.join(TASKS)})")
        heads[name] = build_dataclass(TASKS[name], task, root=f"tasks.{name}") if isinstance(task, Mapping) else task
        if not isinstance(heads[name], TASKS[name]):
            raise ValueError(f"tasks: {name} must be a {TASKS[name].__name__}, not {task!r}")
    return heads


def _load_backbone(model: MaskRCNN3d, weights: Source, inflate: Inflation) -> None:
    report = load_weights(model, weights, inflate=inflate, strict=False)
    missing = [name for name in report.missing if name.startswith(("backbone.", "box_head.stages."))]
    if missing or report.unexpected:
        misfits = describe_misfits({"missing": missing, "unexpected": report.unexpected})
        raise WeightsError(f"{report.source}: {report.layout} weights that do not fit this backbone ({misfits})")
