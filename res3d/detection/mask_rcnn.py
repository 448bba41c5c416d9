"""``MaskRCNN3d``: tubes of boxes, masks and keypoints from clips."""

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
from res3d.ops.roi_align import TubePooler
from res3d.ops.sizes import resize_boxes
from res3d.structures import Category


class MaskRCNN3d(nn.Module):
    """Mask R-CNN on clips (He et al. 2017; Girdhar et al. 2018): an object is a tube, one box a frame.

    Targets and results are torchvision's with a time axis; every part is convolutional in time, so T is free.

    - ``model.train(); model(clips, targets)`` gives a dict of losses to be added up.
    - ``model.eval(); model(clips)`` gives a dict for each clip, best first: boxes [D, T, 4] xyxy pixels of the frames
      given, visible [D, T] probability, scores [D], labels [D], embeddings [D, E] of length 1, and with their heads
      masks [D, T, 1, H, W] in 0..1, keypoints [D, T, K, 3] (x, y, 1) and keypoints_scores [D, T, K].

    Clips are a list of [3, T, H, W] RGB in 0..1, of any frame sizes but one T. A target is a dict: boxes [N, T, 4],
    visible [N, T] bool, labels [N] from 1, optionally track_ids [N], and with their heads masks [N, T, H, W] and
    keypoints [N, T, K, 3] as in COCO. Where an object is not visible, nothing of it is read. At inference targets are
    not looked at.

    Args:
        spec: the architecture.
        settings: how it is run.
        freeze_at: how many leading stages of the backbone are frozen, see ``ResNet3d.freeze``.
        checkpoint_stages: stages that recompute their activations in the backward pass.

    Raises:
        ValueError: a spec that cannot be built.
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
            raise ValueError(f"image_mean has {count} numbers for {spec.backbone.in_channels} channels")
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
        """Categories by label; empty where they are not known."""
        return dict(enumerate(self.spec.categories, 1))

    @property
    def tasks(self) -> dict[str, TaskHead]:
        """The heads besides the box head, by field of the spec."""
        return {name: self._task(name) for name in self.spec.tasks}

    def _task(self, name: str) -> TaskHead:
        head = getattr(self, _head_name(name))
        assert isinstance(head, TaskHead)
        return head

    @property
    def result_shapes(self) -> dict[str, str]:
        """Shapes of what a result holds: D detections, T frames, H rows, W columns, E features."""
        heads = {name: shape for task in self.tasks.values() for name, shape in task.results.items()}
        return {"boxes": "D T 4", "visible": "D T", "scores": "D", "labels": "D", "embeddings": "D E", **heads}

    def set_norm_eps(self, eps: float) -> None:
        """Give every norm this eps, in the spec too."""
        set_module_eps(self, eps)
        self.spec = with_norm_eps(self.spec, eps)
        self.backbone.spec = self.spec.backbone

    def dense_parts(self) -> Iterable[nn.Module]:
        """The modules that compute maps from whole clips, see ``ResNet3d``: all but the heads."""
        return (self.backbone, *([] if self.spec.neck is None else [self.neck]), self.tpn.convs)

    def forward(
        self, clips: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training mode, else results; see the class.

        Raises:
            ValueError: clips or targets that are not as described, naming the first.
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
        """Losses or results as from ``forward``, computed from maps of leading stages of the backbone.

        Args:
            maps: by stage, of the clips as ``transform`` makes them, see ``ResNet3d.resume``.
            sizes: (T, height, width) of each clip as it was given to ``transform``.
            targets: as for ``forward``.

        Raises:
            ValueError: sizes of other clips than the maps are of, or as ``forward`` and ``ResNet3d.resume``.
            FloatingPointError: see ``detect``.
        """
        check_sizes(sizes)
        for name, value in maps.items():
            if len(value) != len(sizes):
                raise ValueError(f"{len(sizes)} sizes, and the map of {name} is of {len(value)} clips")
        device = next(self.parameters()).device
        objects = self._check_targets(sizes, targets, device) if self.training else None
        batch = self.transform.plan(sizes)
        levels = self._levels(self.backbone.resume(maps), batch)
        if objects is None:
            return _whole_masks(self._detect(levels, batch))
        return self._train(levels, batch, objects)

    def detect(self, clips: Sequence[Tensor]) -> list[dict[str, Tensor | BoxMasks]]:
        """Results of ``model.eval()(clips)``, but for masks: they are pasted into a frame when ``masks[d, t]`` is
        asked for, since whole ones fill the memory where frames are large and objects many.

        Raises:
            ValueError: invalid clips, naming the first; or a model in training mode.
            FloatingPointError: scores that are not finite: the weights are damaged, or a number was too large.
        """
        if self.training:
            raise ValueError("detect is for models in eval mode: call model.eval() first")
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
        """Maps of the neck at the clips' T, finest first, from those of the backbone."""
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
        roi_levels = levels if self.spec.neck is None else levels[:-1]  # the subsampled level makes proposals only
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
        """Features of [R, T, 4] tubes of each clip in every size that tasks ask for."""
        return {size: pool(tubes, size) for size in {task.roi_size for task in self.tasks.values()}}

    def _detect(self, levels: Sequence[Tensor], batch: BatchSizes) -> list[dict[str, Tensor | BoxMasks]]:
        pool, proposals, _ = self._propose(levels, batch, None)
        found = self.box_head.detect(pool, proposals, batch.sizes)
        sizes = list(zip(batch.sizes, batch.given_sizes, strict=True))
        boxes = [resize_boxes(d.boxes, *size) for d, size in zip(found, sizes, strict=True)]
        results = [_result(d, b) for d, b in zip(found, boxes, strict=True)]
        features = self._features(pool, [d.boxes for d in found])
        for task in self.tasks.values():
            predictions = task.predict(features[task.roi_size], found)
            for result, prediction, b, size in zip(results, predictions, boxes, sizes, strict=True):
                result |= task.restore(prediction, b, *size)
        return results


def _size(clip: Tensor) -> tuple[int, int, int]:
    return clip.shape[1], clip.shape[2], clip.shape[3]


def _whole_masks(results: Sequence[Mapping[str, Tensor | BoxMasks]]) -> list[dict[str, Tensor]]:
    return [{k: v.whole() if isinstance(v, BoxMasks) else v for k, v in result.items()} for result in results]


def _head_name(task: str) -> str:
    return f"{task}_head"


def _result(found: BoxDetections, boxes: Tensor) -> dict[str, Tensor | BoxMasks]:
    return {
        "boxes": boxes,
        "visible": found.visible,
        "scores": found.scores,
        "labels": found.labels,
        "embeddings": found.embeddings,
    }
