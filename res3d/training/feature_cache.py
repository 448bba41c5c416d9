"""Feature maps of stages that stay frozen, computed once for each view of a clip and kept on disk."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from res3d.data import ClipData
from res3d.files import UNFINISHED, unfinished
from res3d.training.datasets import TrainingSample, ViewIndex
from res3d.training.settings import RunDescription, TrainingSettings
from res3d.training.task import AnyTask, FeatureMaps, Target
from res3d.version import __version__
from res3d.weights import hash_weights

# The settings that decide what a view shows, and how its maps are computed.
DECIDING = ("train", "augment", "views", "mean", "std", "seed", "precision")
DIGEST = re.compile("[0-9a-f]{16}")
"""Names of the folders in a cache."""
ABANDONED_SECONDS = 3600
"""Age at which an unfinished file has nobody any more who is writing it."""


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """A folder with one file for each cached view of a clip: its size, its target and its feature maps."""

    folder: Path

    def path(self, index: ViewIndex) -> Path:
        """Return the file of a view of a clip."""
        return self.folder / f"{index.view}" / f"{index.clip // 1000}" / f"{index.clip}.safetensors"

    def read(self, index: ViewIndex) -> TrainingSample | None:
        """Return a cached view of a clip; None if it is not in the cache.

        Raises:
            ValueError: a damaged file.
        """
        path = self.path(index)
        if not path.exists():
            return None
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: a damaged file of the cache ({error}); delete it") from None
        clip = torch.zeros(()).expand(*tensors.pop("size").tolist())
        maps = {name.removeprefix("map."): t for name, t in tensors.items() if name.startswith("map.")}
        target: Target = {n.removeprefix("target."): t for n, t in tensors.items() if n.startswith("target.")}
        if "label" in tensors:
            target = int(tensors["label"])
        return TrainingSample(index, clip, target, maps)

    def write(self, sample: TrainingSample, maps: FeatureMaps, *, most: int) -> int | None:
        """Write a view of a clip and return the bytes of its tensors; None, and nothing is written, beyond ``most``.

        Raises:
            OSError: the file cannot be written.
        """
        tensors = {f"map.{name}": value.cpu().contiguous() for name, value in maps.items()}
        if isinstance(sample.target, Mapping):
            tensors |= {f"target.{name}": value.contiguous() for name, value in sample.target.items()}
        else:
            tensors["label"] = torch.tensor(sample.target)
        tensors["size"] = torch.tensor(sample.clip.shape)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size > most:
            return None
        path = self.path(sample.index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished(path) as place:
                save_file(tensors, place)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OSError(
                f"{path}: the cache cannot be written ({reason}); a smaller cache_gigabytes may help"
            ) from None
        return size


class FeatureCache:
    """The feature maps of the frozen stages for batches: read from a folder, or computed and written there.

    Files appear whole or not at all, in a folder whose name is a hash of all that decides what is in them: settings,
    weights, and the state of the files that clips come from.

    Args:
        files: the files of the cache.
        budget: bytes that may be added; the maps of further views are computed every time.
        stages: number of leading stages whose maps are cached.
        log: called once with a line, when the cache is full.
    """

    def __init__(self, files: CacheFolder, *, budget: int, stages: int, log: Callable[[str], None]) -> None:
        self.files = files
        self.budget = budget
        self.stages = stages
        self.log = log
        self._full = False

    def maps(self, task: AnyTask, batch: Sequence[TrainingSample]) -> FeatureMaps:
        """Return the feature maps of a batch, [N, C, T, H, W] by stage.

        Raises:
            ValueError: clips of a batch with frames of different sizes.
            OSError: a file that cannot be written.
        """
        device = next(task.model.parameters()).device
        maps = [self._compute(task, sample) if sample.maps is None else sample.maps for sample in batch]
        sizes = {tuple(of_clip[list(of_clip)[-1]].shape[1:]) for of_clip in maps}
        if len(sizes) > 1:
            raise ValueError(f"a cache needs clips of one size; their last maps are {sorted(sizes)}: crop them")
        return {name: torch.stack([of_clip[name].to(device) for of_clip in maps]) for name in maps[0]}

    def _compute(self, task: AnyTask, sample: TrainingSample) -> FeatureMaps:
        """Compute the maps of one clip, [C, T, H, W] by stage, and write them where the budget allows."""
        device = next(task.model.parameters()).device
        # A detector draws the size of frames, even of one; the step is to draw what it draws without a cache.
        with torch.random.fork_rng(devices=[]):
            pixels = task.backbone_input(sample.clip.to(device))
        maps = {name: m[0] for name, m in task.backbone.leading_maps(pixels, self.stages).items()}
        size = self.files.write(sample, maps, most=self.budget)
        if size is not None:
            self.budget -= size
        elif not self._full:
            self._full = True
            folder = self.files.folder.parent
            self.log(f"{folder}: the cache is full; clips that it does not hold are computed every time")
        return maps


def open_cache(
    settings: TrainingSettings,
    task: AnyTask,
    data: ClipData,
    description: RunDescription,
    *,
    log: Callable[[str], None],
) -> FeatureCache | None:
    """Open the cache of a run, if it has one.

    What other runs have in its folder counts towards its size. The processes of a run share what is left.

    Args:
        settings: the run's.
        task: the model, with its weights at the start of the run.
        data: the clips to train on.
        description: the run's.
        log: called once with a line, when the cache is full.
    """
    if settings.cache is None:
        return None
    folder = Path(settings.cache)
    frozen = task.backbone.spec.stage_names[: settings.least_frozen]
    deciding = {
        "version": __version__,
        "model": [description["kind"], description["model"]],
        "data": data.fingerprint(),
        "settings": {name: description["settings"][name] for name in DECIDING},
        "weights": [hash_weights(task.backbone.stage(name)) for name in frozen],
    }
    digest = sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]
    return FeatureCache(
        CacheFolder(folder / digest),
        budget=max(0, int(settings.cache_gigabytes * 1e9) - _tidy(folder)) // settings.processes,
        stages=settings.least_frozen,
        log=log,
    )


def _tidy(folder: Path) -> int:
    """Return the bytes of all maps in a folder of caches; delete what killed runs left unfinished there."""
    total = 0
    for file in folder.glob("*/*/*/*"):
        if not DIGEST.fullmatch(file.relative_to(folder).parts[0]):
            continue
        if file.suffix == ".safetensors":
            total += file.stat().st_size
        elif file.suffix == UNFINISHED and time.time() - file.stat().st_mtime > ABANDONED_SECONDS:
            file.unlink(missing_ok=True)
    return total
