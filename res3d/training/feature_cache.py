"""Cache of the feature maps of frozen stages on disk, computed once per view of a clip."""

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

# Settings that determine the pixels of a view and the computation of its maps.
CONTENT_SETTINGS = ("train", "augment", "views", "mean", "std", "seed", "precision")
DIGEST = re.compile("[0-9a-f]{16}")
"""Pattern of the folder names in a cache."""
ABANDONED_SECONDS = 3600
"""Age from which an unfinished file is considered abandoned."""


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """Folder with one file per cached view of a clip. A file holds the clip size, the target and the feature maps."""

    folder: Path
    """Path of the folder."""

    def path(self, index: ViewIndex) -> Path:
        """Return the path of the file of a view."""
        return self.folder / f"{index.view}" / f"{index.clip // 1000}" / f"{index.clip}.safetensors"

    def read(self, index: ViewIndex) -> TrainingSample | None:
        """Return a cached view, or None if the cache does not have it.

        Raises:
            ValueError: the file is damaged.
        """
        path = self.path(index)
        if not path.exists():
            return None
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: the cache file is damaged ({error}); delete it") from None
        clip = torch.zeros(()).expand(*tensors.pop("size").tolist())
        maps = {name.removeprefix("map."): t for name, t in tensors.items() if name.startswith("map.")}
        target: Target = {n.removeprefix("target."): t for n, t in tensors.items() if n.startswith("target.")}
        if "label" in tensors:
            target = int(tensors["label"])
        return TrainingSample(index, clip, target, maps)

    def write(self, sample: TrainingSample, maps: FeatureMaps, *, max_bytes: int) -> int | None:
        """Write a view and return the size of its tensors in bytes.

        Args:
            sample: the view; its clip gives the size only.
            maps: its feature maps.
            max_bytes: if the tensors are larger, nothing is written and None is returned.

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
        if size > max_bytes:
            return None
        path = self.path(sample.index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished(path) as temporary:
                save_file(tensors, temporary)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OSError(
                f"{path}: the cache cannot be written ({reason}); a smaller cache_gigabytes may help"
            ) from None
        return size


class FeatureCache:
    """Feature maps of the frozen stages for batches, read from a cache folder or computed and written to it.

    The name of the folder is a hash of everything that determines its content: settings, weights, and the state of the
    source files of the clips. Errors leave no partial files.

    Args:
        files: the folder of the cache.
        budget: bytes that may be added; beyond it, maps are computed at every access.
        stages: number of the first stages whose maps are cached.
        log: called with one line when the budget is exhausted for the first time.
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
            ValueError: clips of different sizes in one batch.
            OSError: a file cannot be written.
        """
        device = next(task.model.parameters()).device
        maps = [self._compute(task, sample) if sample.maps is None else sample.maps for sample in batch]
        sizes = {tuple(clip_maps[list(clip_maps)[-1]].shape[1:]) for clip_maps in maps}
        if len(sizes) > 1:
            raise ValueError(
                f"the cache needs clips of one size, but the last feature maps [T, H, W] are {sorted(sizes)}; "
                "crop the clips"
            )
        return {name: torch.stack([clip_maps[name].to(device) for clip_maps in maps]) for name in maps[0]}

    def _compute(self, task: AnyTask, sample: TrainingSample) -> FeatureMaps:
        """Compute the maps of one clip, [C, T, H, W] by stage, and write them if the budget allows."""
        device = next(task.model.parameters()).device
        # A detector draws the frame size at random, even from a single size. The fork keeps the random numbers of the
        # step the same as without a cache.
        with torch.random.fork_rng(devices=[]):
            pixels = task.backbone_input(sample.clip.to(device))
        maps = {name: m[0] for name, m in task.backbone.leading_maps(pixels, self.stages).items()}
        size = self.files.write(sample, maps, max_bytes=self.budget)
        if size is not None:
            self.budget -= size
        elif not self._full:
            self._full = True
            folder = self.files.folder.parent
            self.log(f"{folder}: the cache is full; feature maps of further clips are computed at every access")
        return maps


def open_cache(
    settings: TrainingSettings,
    task: AnyTask,
    data: ClipData,
    description: RunDescription,
    *,
    log: Callable[[str], None],
) -> FeatureCache | None:
    """Open the cache of a run; None if ``settings.cache`` is None.

    Caches of other runs in the same folder count towards ``cache_gigabytes``. The remaining budget is divided evenly
    among the processes of the run.

    Args:
        settings: settings of the run.
        task: the model, with its weights at the start of the run.
        data: the training clips.
        description: description of the run, see ``Plan.description``.
        log: called with one line when the cache is full.
    """
    if settings.cache is None:
        return None
    folder = Path(settings.cache)
    frozen = task.backbone.spec.stage_names[: settings.least_frozen]
    content = {
        "version": __version__,
        "model": [description["kind"], description["model"]],
        "data": data.fingerprint(),
        "settings": {name: description["settings"][name] for name in CONTENT_SETTINGS},
        "weights": [hash_weights(task.backbone.stage(name)) for name in frozen],
    }
    digest = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return FeatureCache(
        CacheFolder(folder / digest),
        budget=max(0, int(settings.cache_gigabytes * 1e9) - _tidy(folder)) // settings.processes,
        stages=settings.least_frozen,
        log=log,
    )


def _tidy(folder: Path) -> int:
    """Delete abandoned unfinished files in a folder of caches, and return the size of all its maps in bytes."""
    total = 0
    for file in folder.glob("*/*/*/*"):
        if not DIGEST.fullmatch(file.relative_to(folder).parts[0]):
            continue
        if file.suffix == ".safetensors":
            total += file.stat().st_size
        elif file.suffix == UNFINISHED and time.time() - file.stat().st_mtime > ABANDONED_SECONDS:
            file.unlink(missing_ok=True)
    return total
