"""Feature extractor: a model with all the settings that determine its features."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from res3d.backbone import BackboneSpec, ClipClassifier, ResNet3d, frame_wise_stages, stage_hint
from res3d.clips import KINETICS, ClipSampler, ClipSpec, Preprocessing
from res3d.features.dense import MapGrid
from res3d.features.split_network import SplitNetwork
from res3d.files import identify
from res3d.inference import DType, optimize
from res3d.settings import check_choice
from res3d.settings.types import Json
from res3d.version import __version__
from res3d.video import VideoReader
from res3d.weights import hash_weights

LOGITS = "logits"  # name of the layer for the output of a classifier

Pool = Literal["avg", "max", "none"]
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda maps: maps.mean(dim=(2, 3, 4)),
    "max": lambda maps: maps.amax(dim=(2, 3, 4)),
    "none": lambda maps: maps,
}
Context = Literal["clip", "video"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkOptions:
    """Batch size, device and number type of an extractor. Except for ``dtype``, they change features by rounding only.

    Raises:
        ValueError: the batch size is below 1.
    """

    batch_size: int = 4
    """Number of clips in one batch."""
    device: str | torch.device | None = None
    """Device to run on. The model is moved to it; None uses the device that the model is on."""
    dtype: DType = "auto"
    """Number type of the network. "auto" is bfloat16 on CUDA and float32 elsewhere. The features are always float32."""
    share_frames: bool = True
    """True to run frame-wise stages once per frame if clips overlap, False to run them once per clip."""

    def __post_init__(self) -> None:
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number ≥ 1, not {self.batch_size!r}")


class FeatureExtractor:
    """A model with all the settings that determine its features: clips, layer, pooling, precision.

    An extractor does not change after construction. ``ExtractionRun`` applies it to one video; several runs may be
    active at the same time.

    Args:
        model: a backbone or a classifier. The extractor runs an optimized copy with the current weights (see
            ``res3d.inference.optimize``).
        clip: clip spec of the model. By default the one that a classifier was trained with (``trained_on``), if it has
            one. ``self.fps`` is the frame rate of the spec; the reader has to resample the video to it.
        sampler: chooses the frames of the clips. By default the sampler of ``clip``, else ``ClipSampler()``. A sampler
            without ``clip`` counts the frames of the video at its own rate.
        preprocess: preprocessing of frames. By default that of ``clip``, else that of torchvision's Kinetics models
            (resize 128×171, crop 112×112).
        layer: stage whose feature map is used ("stem", "conv2", ...), by default the last; or "logits" for the output
            of a classifier, [clips, classes].
        pool: "avg" is the mean of the map over time and space, "max" the maximum, both [clips, C]; "none" is the whole
            map, [clips, C, T', H', W'].
        context: "clip": the features of a clip depend on its own frames only, with zeros before and after them.
            "video": the network runs once over the whole video, and the features of a clip are its window of that map.
            The first and last frames of a clip then see their neighbours in the video instead of zeros, and the cost
            does not depend on how much clips overlap.
        options: batch size, device and number type.
        weights: name of the weights for the ``meta`` of the features.

    Raises:
        ValueError: layer, pool, dtype or context is unknown, the clip spec has segments or several views, or context
            "video" is not defined for the model or the sampler (see ``MapGrid``).
    """

    def __init__(
        self,
        model: ResNet3d | ClipClassifier,
        *,
        clip: ClipSpec | None = None,
        sampler: ClipSampler | None = None,
        preprocess: Preprocessing | None = None,
        layer: str | None = None,
        pool: Pool = "avg",
        context: Context = "clip",
        options: NetworkOptions | None = None,
        weights: str | None = None,
    ) -> None:
        check_choice("pool", pool, POOLS)
        check_choice("context", context, ("clip", "video"))
        self.backbone = model.backbone if isinstance(model, ClipClassifier) else model
        self.layer = _find_layer(model, self.backbone.spec, layer)
        self.model: ResNet3d | ClipClassifier = model if self.layer == LOGITS else self.backbone
        trained_on = model.trained_on if isinstance(model, ClipClassifier) else None
        self.fps, self.sampler = _choose_frames(clip, trained_on, sampler)
        self.preprocess = preprocess or _preprocessing_of(clip or trained_on)
        self.pool = pool
        self.context = context
        self.options = options or NetworkOptions()
        device = self.options.device
        self.device = torch.device(device) if device is not None else next(self.backbone.parameters()).device
        model.to(self.device)
        self.grid: MapGrid | None = None
        if context == "video":
            self.grid = MapGrid(spec=self.backbone.spec, layer=self._last_stage, sampler=self.sampler)
        self.network = self._split()
        self._weights = weights
        self._weights_sha256 = hash_weights(self.model)

    @property
    def dtype(self) -> str:
        """The number type that the network computes with: "float32" or "bfloat16"."""
        return self.network.model.dtype

    @property
    def _last_stage(self) -> str:
        return self.backbone.spec.stage_names[-1] if self.layer == LOGITS else self.layer

    def _split(self) -> SplitNetwork:
        """Return the optimized model, split behind the stages that run once per frame if that saves work."""
        spec, sampler = self.backbone.spec, self.sampler
        stages = spec.stage_names[: spec.stage_names.index(self._last_stage) + 1]
        # A shifted last clip may start at any of the last frames. With a step above 1, sharing would have to compute
        # frames that no other clip contains.
        overlap = sampler.stride < sampler.span and (sampler.tail != "shift" or sampler.step == 1)
        shares = self.options.share_frames and (self.grid is not None or overlap)
        shared = [name for name in frame_wise_stages(spec) if name in stages] if shares else []
        optimized = optimize(self.model, dtype=self.options.dtype)
        return SplitNetwork(model=optimized, shared=tuple(shared), rest=stages[len(shared) :])

    def check_size(self, reader: VideoReader) -> None:
        """Check that the network accepts clips of the preprocessed frames of a video.

        Raises:
            ValueError: the clips are too small for the network, or the frames for the crop.
        """
        size = self.preprocess.output_size(reader.info.height, reader.info.width)
        self.backbone.spec.check_size((self.sampler.length, *size))

    def prepare(self, frames: Tensor) -> Tensor:
        """Preprocess frames on the device of the extractor: uint8 [n, H, W, 3] RGB -> float32 [n, 3, h, w]."""
        if self.device.type == "cuda":
            frames = frames.pin_memory()  # a copy from pageable memory is synchronous with the network
        return self.preprocess(frames.to(self.device, non_blocking=True))

    def pool_maps(self, maps: Tensor) -> Tensor:
        """Return the features of maps [N, C, T', H', W'] of the last stage: float32, on the CPU."""
        features = self.network.logits(maps) if self.layer == LOGITS else POOLS[self.pool](maps.float())
        return features.cpu().contiguous()

    @property
    def empty_shape(self) -> tuple[int, ...]:
        """Shape of the features of one clip. For ``pool="none"`` it is [C, 0, 0, 0]: the sizes depend on the video."""
        if isinstance(self.model, ClipClassifier):
            return (self.model.num_classes,)
        channels = self.backbone.feature_info[self.layer].channels
        return (channels, 0, 0, 0) if self.pool == "none" else (channels,)

    def meta(self, reader: VideoReader) -> Json:
        """Return the metadata to save with the features of a video: model, settings, and identity of the video."""
        return {
            "model": self.backbone.spec.name,
            "spec": self.backbone.spec.to_yaml(),
            "weights": self._weights,
            "weights_sha256": self._weights_sha256,
            "layer": self.layer,
            "pool": self.pool,
            "preprocessing": self.preprocess.to_dict(),
            "sampler": asdict(self.sampler),
            "context": self.context,
            "start": reader.start,
            "end": reader.end,
            "fps": reader.fps,
            "allow_truncated": reader.allow_truncated,
            "dtype": self.dtype,
            "video": {
                **identify(reader.path),
                "fps": reader.info.fps,
                "width": reader.info.width,
                "height": reader.info.height,
                "damage": reader.damage,
                **({} if reader.stream is None else {"stream": reader.stream}),
            },
            "version": __version__,
        }


def _find_layer(model: ResNet3d | ClipClassifier, spec: BackboneSpec, layer: str | None) -> str:
    """Return the name of the layer, by default that of the last stage.

    Raises:
        ValueError: the model has no such layer, or does not have 3 input channels.
    """
    layers = [*spec.stage_names, *([LOGITS] if isinstance(model, ClipClassifier) else [])]
    if layer is not None and layer not in layers:
        hint = stage_hint(layer, layers)
        raise ValueError(f"layer: {spec.name} has no stage {layer!r}{hint} (accepted: {', '.join(layers)})")
    if spec.in_channels != 3:
        raise ValueError(f"videos have 3 channels, and {spec.name} takes {spec.in_channels}")
    return layer or spec.stage_names[-1]


def _choose_frames(
    clip: ClipSpec | None, trained_on: ClipSpec | None, sampler: ClipSampler | None
) -> tuple[float | None, ClipSampler]:
    """Return the frame rate (None for that of the video) and the sampler; see ``FeatureExtractor``.

    Raises:
        ValueError: the clip spec has segments.
    """
    if clip is None and sampler is not None:
        return None, sampler
    clip = clip or trained_on
    if clip is None:
        return None, ClipSampler()
    return clip.fps, sampler or clip.sampler()


def _preprocessing_of(clip: ClipSpec | None) -> Preprocessing:
    if clip is None:
        return KINETICS
    if clip.views > 1:
        raise ValueError(f"features are extracted from one view of each frame, not from {clip.views} views")
    return clip.preprocessing
