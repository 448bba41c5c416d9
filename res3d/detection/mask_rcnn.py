"""``MaskRCNN3d``: a detector of tubes of boxes, masks and keypoints in clips."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from res3d.backbone import ResNet3d, set_module_eps, with_norm_eps
from res3d.detection.box_detections import BoxDetections
from res3d.detection.box_head import BoxHead
from res3d.detection.layers import idle_loss
from res3d.detection.neck import FeaturePyramid3d, SingleLevel
from res3d.detection.proposals import TubeProposalNetwork
from res3d.detection.sampling import RoiSampler
from res3d.detection.settings import DetectorSettings
from res3d.detection.spec import DetectorSpec
from res3d.detection.targets import ClipTargets, check_clips, check_sizes, check_targets
from res3d.detection.task_head import TaskHead
from res3d.detection.transform import BatchSizes, ClipBatch, ClipTransform, resize_targets
from res3d.ops.masks import BoxMasks
from res3d.ops.resizing import resize_boxes
from res3d.ops.roi_align import TubePooler
from res3d.structures import Category


class MaskRCNN3d(nn.Module):
    """Mask R-CNN on clips (He et al. 2017; Girdhar et al. 2018). An object is a tube: one box per frame.

    Targets and results are torchvision's with a time axis. All parts are convolutional in time, so T is free.

    - ``model.train(); model(clips, targets)`` returns a dict of losses. Their sum is the training loss.
    - ``model.eval(); model(clips)`` returns one dict per clip, whose rows are sorted by score, best first: boxes
      [D, T, 4] xyxy in pixels of the input frames, visible [D, T] probability, scores [D], labels [D], embeddings
      [D, E] of length 1. The mask head adds masks [D, T, 1, H, W] in 0..1; the keypoint head adds keypoints
      [D, T, K, 3] (x, y, 1) and keypoints_scores [D, T, K].

    Clips are a list of [3, T, H, W] RGB in 0..1. Their frames may differ in size, but not in number. A target is a
    dict: boxes [N, T, 4], visible [N, T] bool, labels [N] from 1, optionally track_ids [N]; with the mask head masks
    [N, T, H, W], and with the keypoint head keypoints [N, T, K, 3] as in COCO. The values of an object in frames where
    it is not visible are ignored. Targets are ignored at inference.

    Args:
        spec: the architecture.
        settings: sizes, thresholds and counts; None: the defaults.
        freeze_at: number of leading stages of the backbone that are frozen, see ``ResNet3d.freeze``.
        checkpoint_stages: stages of the backbone that recompute their activations in the backward pass.

    Raises:
        ValueError: the settings do not fit the spec, or a stage is unknown.
    """

    def __init__(
        self,
        spec: DetectorSpec,
        settings: DetectorSettings | None = None,
        *,
        freeze_at: int = 0,
        checkpoint_stages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.spec = spec
        self.settings = settings or DetectorSettings()
        if len(self.settings.image_mean) != spec.backbone.in_channels:
            count = len(self.settings.image_mean)
            raise ValueError(f"image_mean must be {spec.backbone.in_channels} numbers, one per channel, not {count}")
        self.transform = ClipTransform(self.settings, spec.channel_order)
        self.backbone = ResNet3d(
            spec.backbone, out_features=spec.map_names, freeze_at=freeze_at, checkpoint_stages=checkpoint_stages
        )
        info = [spec.backbone.feature_info[name] for name in spec.map_names]
        self.neck: nn.Module = SingleLevel() if spec.neck is None else FeaturePyramid3d(spec.neck, info)
        self.tpn = TubeProposalNetwork(
            spec.proposals, spec.channels, spec.strides, self.settings, offset=spec.box_offset
        )
        self.sampler = RoiSampler(
            foreground=self.settings.box_fg_iou_thresh,
            background=self.settings.box_bg_iou_thresh,
            count=self.settings.box_batch_size_per_image,
            positive_fraction=self.settings.box_positive_fraction,
            offset=spec.box_offset,
        )
        self.box_head = BoxHead(
            spec.box, spec.channels, spec.num_classes, spec.backbone, self.settings, offset=spec.box_offset
        )
        for name, task in spec.tasks.items():
            self.add_module(_head_name(name), task.build(spec.channels, spec.num_classes))

    @property
    def categories(self) -> dict[int, Category]:
        """Categories by label; empty if the spec has none."""
        return dict(enumerate(self.spec.categories, 1))

    @property
    def tasks(self) -> dict[str, TaskHead]:
        """Heads besides the box head, by field of the spec."""
        return {name: self._task(name) for name in self.spec.tasks}

    def _task(self, name: str) -> TaskHead:
        head = getattr(self, _head_name(name))
        assert isinstance(head, TaskHead)
        return head

    @property
    def result_shapes(self) -> dict[str, str]:
        """Shape of each tensor of a result: D detections, T frames, H rows, W columns, E features."""
        heads = {name: shape for task in self.tasks.values() for name, shape in task.results.items()}
        return {"boxes": "D T 4", "visible": "D T", "scores": "D", "labels": "D", "embeddings": "D E", **heads}

    def set_norm_eps(self, eps: float) -> None:
        """Set the eps of every norm, in the modules and in the spec."""
        set_module_eps(self, eps)
        self.spec = with_norm_eps(self.spec, eps)
        self.backbone.spec = self.spec.backbone

    def dense_parts(self) -> Iterable[nn.Module]:
        """Return the modules that compute feature maps of whole clips, see ``ResNet3d``: all but the heads."""
        return (self.backbone, *([] if self.spec.neck is None else [self.neck]), self.tpn.convs)

    def forward(
        self, clips: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return the losses in training mode, else the results; see the class.

        Raises:
            ValueError: invalid clips or targets; the message names the first.
            FloatingPointError: see ``detect``.
        """
        if not self.training:
            return _whole_masks(self.detect(clips))
        self._check(clips)
        objects = self._check_targets([_size(clip) for clip in clips], targets, clips[0].device)
        batch: ClipBatch = self.transform(clips)
        return self._train(self._levels(self.backbone(batch.pixels), batch), batch, objects)

    def resume(
        self,
        maps: Mapping[str, Tensor],
        sizes: Sequence[tuple[int, int, int]],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return the losses or results of ``forward``, computed from feature maps of leading stages of the backbone.

        Args:
            maps: feature maps of the transformed clips, by stage, see ``ResNet3d.resume``.
            sizes: (T, height, width) of each clip before ``transform``.
            targets: as for ``forward``.

        Raises:
            ValueError: the numbers of ``sizes`` and clips differ, or see ``forward`` and ``ResNet3d.resume``.
            FloatingPointError: see ``detect``.
        """
        check_sizes(sizes)
        for name, value in maps.items():
            if len(value) != len(sizes):
                raise ValueError(f"sizes must have one entry per clip: {len(sizes)}, but {name} has {len(value)} clips")
        device = next(self.parameters()).device
        objects = self._check_targets(sizes, targets, device) if self.training else None
        batch = self.transform.plan(sizes)
        levels = self._levels(self.backbone.resume(maps), batch)
        if objects is None:
            return _whole_masks(self._detect(levels, batch))
        return self._train(levels, batch, objects)

    def detect(self, clips: Sequence[Tensor]) -> list[dict[str, Tensor | BoxMasks]]:
        """Return the results of ``model.eval()(clips)``, with ``BoxMasks`` in place of whole masks.

        ``BoxMasks`` pastes a mask into a frame when ``masks[d, t]`` is read. Whole masks of many objects in large
        frames take gigabytes of memory.

        Raises:
            ValueError: an invalid clip, which the message names, or a model in training mode.
            FloatingPointError: scores are not finite, because weights are damaged or an activation overflowed.
        """
        if self.training:
            raise ValueError("detect needs a model in eval mode: call model.eval() first")
        self._check(clips)
        batch: ClipBatch = self.transform(clips)
        return self._detect(self._levels(self.backbone(batch.pixels), batch), batch)

    def _check(self, clips: Sequence[Tensor]) -> None:
        dtype = next(self.parameters()).dtype
        check_clips(clips, self.spec.backbone.in_channels, dtype)

    def _check_targets(
        self,
        sizes: Sequence[tuple[int, int, int]],
        targets: Sequence[Mapping[str, Tensor]] | None,
        device: torch.device,
    ) -> list[ClipTargets]:
        fields = {task.field: task.target for task in self.tasks.values()}
        return check_targets(sizes, targets, fields, self.spec.num_classes, device)

    def _levels(self, maps: Mapping[str, Tensor], batch: BatchSizes) -> list[Tensor]:
        """Return the neck's feature maps of T frames, finest first, from the backbone's feature maps."""
        levels: list[Tensor] = self.neck(list(maps.values()), batch.frames)
        return levels

    def _train(self, levels: Sequence[Tensor], batch: BatchSizes, targets: Sequence[ClipTargets]) -> dict[str, Tensor]:
        resized = resize_targets(targets, batch, self.tasks)
        pool, proposals, losses = self._propose(levels, batch, resized)
        return {**losses, **self._losses(pool, proposals, resized)}

    def _propose(
        self, levels: Sequence[Tensor], batch: BatchSizes, targets: Sequence[ClipTargets] | None
    ) -> tuple[TubePooler, list[Tensor], dict[str, Tensor]]:
        proposals, losses = self.tpn(levels, batch.padded_size, batch.sizes, targets)
        roi_levels = levels if self.spec.neck is None else levels[:-1]  # the subsampled level is for proposals only
        pool = TubePooler(roi_levels, self.spec.strides[: len(roi_levels)], offset=self.spec.box_offset)
        return pool, proposals, losses

    def _losses(
        self, pool: TubePooler, proposals: Sequence[Tensor], targets: Sequence[ClipTargets]
    ) -> dict[str, Tensor]:
        samples = [self.sampler(*each) for each in zip(proposals, targets, strict=True)]
        losses = self.box_head.losses(pool, samples)
        positives = [s.positive() for s in samples]
        any_positive = any(len(p.labels) for p in positives)
        features = self._features(pool, [p.tubes for p in positives]) if any_positive else {}
        for task in self.tasks.values():
            losses[task.loss_name] = task.loss(features[task.roi_size], positives) if any_positive else idle_loss(task)
        return losses

    def _features(self, pool: TubePooler, tubes: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return the pooled features of tubes [R, T, 4] of each clip, by each ``roi_size`` of the tasks."""
        return {size: pool(tubes, size) for size in {task.roi_size for task in self.tasks.values()}}

    def _detect(self, levels: Sequence[Tensor], batch: BatchSizes) -> list[dict[str, Tensor | BoxMasks]]:
        pool, proposals, _ = self._propose(levels, batch, None)
        detections = self.box_head.detect(pool, proposals, batch.sizes)
        sizes = list(zip(batch.sizes, batch.input_sizes, strict=True))
        boxes = [resize_boxes(d.boxes, *size) for d, size in zip(detections, sizes, strict=True)]
        results = [_result(d, b) for d, b in zip(detections, boxes, strict=True)]
        features = self._features(pool, [d.boxes for d in detections])
        for task in self.tasks.values():
            predictions = task.predict(features[task.roi_size], detections)
            for result, prediction, b, size in zip(results, predictions, boxes, sizes, strict=True):
                result |= task.restore(prediction, b, *size)
        return results


def _size(clip: Tensor) -> tuple[int, int, int]:
    return clip.shape[1], clip.shape[2], clip.shape[3]


def _whole_masks(results: Sequence[Mapping[str, Tensor | BoxMasks]]) -> list[dict[str, Tensor]]:
    return [{k: v.whole() if isinstance(v, BoxMasks) else v for k, v in result.items()} for result in results]


def _head_name(task: str) -> str:
    return f"{task}_head"


def _result(detections: BoxDetections, boxes: Tensor) -> dict[str, Tensor | BoxMasks]:
    """Return the result of one clip, with ``boxes`` [D, T, 4] in pixels of its input frames."""
    return {
        "boxes": boxes,
        "visible": detections.visible,
        "scores": detections.scores,
        "labels": detections.labels,
        "embeddings": detections.embeddings,
    }
