"""A model with everything that decides the features that are extracted with it."""

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

LOGITS = "logits"  # the layer that is a classifier's output

Pool = Literal["avg", "max", "none"]
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda maps: maps.mean(dim=(2, 3, 4)),
    "max": lambda maps: maps.amax(dim=(2, 3, 4)),
    "none": lambda maps: maps,
}
Context = Literal["clip", "video"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkOptions:
    """How the network of an extractor runs. But for ``dtype``, features depend on it by rounding only.

    Raises:
        ValueError: a batch size below 1.
    """

    batch_size: int = 4
    """Clips that run through the network together."""
    device: str | torch.device | None = None
    """Where to run; the model is moved there. None leaves it where it is."""
    dtype: DType = "auto"
    """Computing type; "auto" is bfloat16 on CUDA and float32 elsewhere. Features are float32."""
    share_frames: bool = True
    """Whether stages that see one frame at a time run once per frame where clips overlap, not once per clip."""

    def __post_init__(self) -> None:
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number ≥ 1, not {self.batch_size!r}")


class FeatureExtractor:
    """A model with everything that decides its features: clips, layer, pooling, precision.

    Its attributes do not change; ``ExtractionRun`` is its work on one video, and several may go on at the same time.

    Args:
        model: a backbone, or a classifier, whose backbone is used. What runs is a copy made fast, with the weights as
            they are now (see ``res3d.inference.optimize``).
        clip: the clips that the model takes; by default those that a classifier was trained on, if it says so
            (``trained_on``). The reader sets the frame rate; ``self.fps`` is the one that ``clip`` asks for.
        sampler: chooses the frames of clips; by default that of ``clip``, else ``ClipSampler()``. Given without
            ``clip``, it counts the video's own frames.
        preprocess: prepares frames; by default that of ``clip``, else torchvision's Kinetics preset (resize 128×171,
            crop 112×112).
        layer: the stage whose map is taken ("stem", "conv2", ...), by default the last; or "logits", a classifier's
            output, [clips, classes].
        pool: "avg" averages the map over time and space, "max" takes the largest, [clips, C]; "none" keeps the map,
            [clips, C, T', H', W'].
        context: what a clip's features depend on. "clip": on its frames alone, with zeros before and behind them.
            "video": the network runs once over the whole video, and a clip's features are its part of that map, so its
            first and last frames see their neighbours in the video where "clip" has zeros. The cost does not depend on
            how much clips overlap.
        options: how the network runs.
        weights: name of the weights in the file's ``meta``.

    Raises:
        ValueError: an unknown layer, pool, dtype or context, a clip of segments or of several views, or, with context
            "video", a model or sampler that it is not defined for (see ``MapGrid``).
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
        """The computing type."""
        return self.network.model.dtype

    @property
    def _last_stage(self) -> str:
        return self.backbone.spec.stage_names[-1] if self.layer == LOGITS else self.layer

    def _split(self) -> SplitNetwork:
        """The optimized model, with the stages that run once per frame apart where that saves work."""
        spec, sampler = self.backbone.spec, self.sampler
        stages = spec.stage_names[: spec.stage_names.index(self._last_stage) + 1]
        # A shifted last clip may hold any of the last frames, so all would have to be kept, and most of them in vain.
        overlap = sampler.stride < sampler.span and (sampler.tail != "shift" or sampler.step == 1)
        shares = self.options.share_frames and (self.grid is not None or overlap)
        shared = [name for name in frame_wise_stages(spec) if name in stages] if shares else []
        optimized = optimize(self.model, dtype=self.options.dtype)
        return SplitNetwork(model=optimized, shared=tuple(shared), rest=stages[len(shared) :])

    def check_size(self, reader: VideoReader) -> None:
        """Raise ValueError if the network cannot take clips of this video's prepared frames."""
        size = self.preprocess.output_size(reader.info.height, reader.info.width)
        self.backbone.spec.check_size((self.sampler.length, *size))

    def prepare(self, frames: Tensor) -> Tensor:
        """Prepare frames on the extractor's device: uint8 [n, H, W, 3] RGB -> float32 [n, 3, h, w]."""
        if self.device.type == "cuda":
            frames = frames.pin_memory()  # else the copy waits for the network, and the network for the copy
        return self.preprocess(frames.to(self.device, non_blocking=True))

    def pool_maps(self, maps: Tensor) -> Tensor:
        """Features of the maps [N, C, T', H', W'] of the last stage, float32, on the CPU."""
        features = self.network.logits(maps) if self.layer == LOGITS else POOLS[self.pool](maps.float())
        return features.cpu().contiguous()

    @property
    def empty_shape(self) -> tuple[int, ...]:
        """Shape of the features of a clip; with ``pool="none"``, where sizes depend on the video, [C, 0, 0, 0]."""
        if isinstance(self.model, ClipClassifier):
            return (self.model.num_classes,)
        channels = self.backbone.feature_info[self.layer].channels
        return (channels, 0, 0, 0) if self.pool == "none" else (channels,)

    def meta(self, reader: VideoReader) -> Json:
        """What goes into the file beside the features: how they were made, from what."""
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
            },
            "version": __version__,
        }


def _find_layer(model: ResNet3d | ClipClassifier, spec: BackboneSpec, layer: str | None) -> str:
    """The layer that was asked for, by default the last stage.

    Raises:
        ValueError: the model has no such layer, or takes no video.
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
    """The frame rate and the sampler; a sampler without a ``clip`` counts the video's own frames.

    Raises:
        ValueError: clips of segments.
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
        raise ValueError(f"features are of one view of each frame, not of {clip.views} views")
    return clip.preprocessing
