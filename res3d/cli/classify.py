"""``res3d classify``: the most probable classes of a video and of its clips."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.clip_settings import NetworkClips, NetworkReader, choose_clip
from res3d.cli.command import Command, Keywords
from res3d.cli.computing import NetworkComputing, find_device
from res3d.cli.errors import FAILED, UsageError, report_error
from res3d.cli.frame_settings import FrameSettings
from res3d.cli.video_files import expand_videos, print_remarks
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
    """Print the most probable classes of each video and of each of its clips.

    The probabilities of a clip are the softmax of its logits; those of a video are the mean over its clips. Registered
    weights record their clip length, frame rate, preprocessing and class names, which are used by default. The exit
    code is 0 after success, 1 if a video could not be processed, 2 for invalid settings, 130 after Ctrl-C.
    """

    videos: Annotated[list[str], Positional("[videos ...]")] = field(default_factory=list)
    """Video files, folders (all videos in them, also in subfolders) or globs like 'videos/**/*.mp4'."""
    reader: Annotated[NetworkReader, Group("input"), Short()] = field(default_factory=NetworkReader)
    """Part and frame rate of each video that is read."""
    clips: Annotated[NetworkClips, Short("clip_{}", "{}")] = field(default_factory=NetworkClips)
    """Sampling of clips from each video."""
    frames: Annotated[FrameSettings, Short()] = field(default_factory=FrameSettings)
    """Preprocessing of each frame."""
    weights: Annotated[str, Group("network"), Shown("NAME|FILE")] = "torchvision/r3d_18.kinetics400"
    """Weights of a classifier: a name from res3d.list_weights(), or a file that res3d or another library wrote."""
    model: Annotated[str | None, Group("network"), Shown("NAME|FILE")] = None
    """Backbone of the weights, if they do not record it: a name from res3d.list_backbones(), or a YAML spec file."""
    batch_size: Annotated[int, Group("network")] = 4
    """Number of clips in one batch. A smaller batch needs less memory."""
    categories: Annotated[str | None, Group("output"), Shown("FILE")] = None
    """Text file with one class name per line, in the order of the logits. By default the class names that the weights
    record, or 'class 0', 'class 1' and so on."""
    top: Annotated[int, Group("output")] = 5
    """Number of classes to print per clip and per video."""
    computing: Annotated[NetworkComputing, Short()] = field(default_factory=NetworkComputing)
    """Threads, device and number type."""

    def run(self) -> int:
        """Print the classes of all videos."""
        from res3d.features import ExtractionRun
        from res3d.weights import WeightsError, load_classifier, open_weights

        if not self.videos:
            raise UsageError("needs at least one video")
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
            print_remarks(reader)

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
