"""``res3d classify``: the likeliest classes of a video and of its clips."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.clip_settings import NetworkClips, NetworkReader, choose_clip
from res3d.cli.command import Command, Keywords
from res3d.cli.computing import NetworkComputing, find_device
from res3d.cli.errors import FAILED, UsageError, report_error
from res3d.cli.frame_settings import FrameSettings
from res3d.cli.video_files import expand_videos
from res3d.cli.video_loop import VideoLoop
from res3d.settings import Group, Positional, Short, Shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from res3d.backbone import ClipClassifier
    from res3d.clips import ClipSpec
    from res3d.features import FeatureExtractor
    from res3d.structures import ClipFeatures


@dataclass(frozen=True, kw_only=True)
class ClassifyCommand(Command):
    """Print the likeliest classes of each video, and of each of its clips.

    A clip's probabilities are the softmax of its logits, a video's the mean of its clips'. Registered weights bring
    their clip length, frame rate, preprocessing and class names. Exit codes as for extract.
    """

    videos: Annotated[list[str], Positional("[videos ...]")] = field(default_factory=list)
    """Files, folders (searched for videos) or globs."""
    reader: Annotated[NetworkReader, Group("input"), Short()] = field(default_factory=NetworkReader)
    """The part of each video that is read."""
    clips: Annotated[NetworkClips, Short("clip_{}", "{}")] = field(default_factory=NetworkClips)
    """How videos are cut into clips."""
    frames: Annotated[FrameSettings, Short()] = field(default_factory=FrameSettings)
    """How frames are prepared."""
    weights: Annotated[str, Group("network"), Shown("NAME|FILE")] = "torchvision/r3d_18.kinetics400"
    """A name from res3d.list_weights(), or a file with a classifier."""
    model: Annotated[str | None, Group("network"), Shown("NAME|FILE")] = None
    """Backbone of a file that does not name it."""
    batch_size: Annotated[int, Group("network")] = 4
    """Clips that run through the network together."""
    categories: Annotated[str | None, Group("output"), Shown("FILE")] = None
    """Text file with one class name per line, for weights that bring none."""
    top: Annotated[int, Group("output")] = 5
    """How many classes to print."""
    computing: Annotated[NetworkComputing, Short()] = field(default_factory=NetworkComputing)
    """What is computed on."""

    def run(self) -> int:
        """Print classes."""
        from res3d.features import ExtractionRun
        from res3d.weights import WeightsError, load_classifier, open_weights

        if not self.videos:
            raise UsageError("name a video to classify")
        if self.top < 1:
            raise UsageError(f"--top must be ≥ 1, not {self.top}")
        try:
            source = open_weights(self.weights)
            paths = expand_videos(self.videos)
            self.reader.check()
            clip = choose_clip(source.clip, self.clips, self.frames, self.reader)
            names = Path(self.categories).read_text(encoding="utf-8").splitlines() if self.categories else None
            classifier = load_classifier(source, model=self.model)
            extractor = self._make_extractor(classifier, clip)
        except (WeightsError, FileNotFoundError) as error:
            return report_error("classify", str(error))
        except ValueError as error:
            raise UsageError(str(error)) from None
        if names is None:
            names = list(classifier.categories) or [f"class {number}" for number in range(classifier.num_classes)]
        if len(names) != classifier.num_classes:
            raise UsageError(f"--categories {self.categories}: {len(names)} names for {classifier.num_classes} classes")
        settings = replace(self.reader, fps=clip.fps)

        def classify(path: Path) -> None:
            reader = settings.open(path, threads=self.computing.threads)
            _print_classes(path, ExtractionRun(extractor, reader).extract(), names, self.top)

        loop = VideoLoop(command="classify", smaller="--batch-size, --clip-length or --crop")
        return FAILED if loop.run(paths, classify) else 0

    def _make_extractor(self, classifier: "ClipClassifier", clip: "ClipSpec") -> "FeatureExtractor":
        from res3d.features import LOGITS, FeatureExtractor, NetworkOptions

        settings: Keywords = {"dtype": self.computing.dtype, "device": find_device(self.computing.device)}
        return FeatureExtractor(
            classifier,
            clip=clip,
            sampler=clip.sampler(stride=self.clips.stride),
            layer=LOGITS,
            options=NetworkOptions(batch_size=self.batch_size, **settings),
            weights=self.weights,
        )


def _print_classes(path: Path, logits: "ClipFeatures", names: Sequence[str], top: int) -> None:
    import numpy as np

    scaled = np.exp(logits.features - logits.features.max(axis=1, keepdims=True))
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    for row, start, end in zip(probabilities, logits.start_time, logits.end_time, strict=True):
        print(f"{path}: {start:7.2f} to {end:7.2f} s  {_best(row, names, top)}")
    print(f"{path}: whole video         {_best(probabilities.mean(axis=0), names, top)}", flush=True)


def _best(probabilities: "NDArray[np.float32]", names: Sequence[str], top: int) -> str:
    order = (-probabilities).argsort(kind="stable")[:top]
    return ", ".join(f"{names[i]} {100 * probabilities[i]:.1f} %" for i in order)
