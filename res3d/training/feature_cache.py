"""Maps of the stages that stay frozen, computed once for each view of a clip and kept on disk."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from res3d.files import UNFINISHED, unfinished
from res3d.training.loading import Loaded
from res3d.training.plan import Plan
from res3d.training.resume import describe_run
from res3d.training.tasks import Maps
from res3d.version import __version__
from res3d.weights import hash_weights

DECIDES = ("train", "augment", "views", "mean", "std", "seed", "precision")  # what a view shows, and how it is computed
DIGEST = re.compile("[0-9a-f]{16}")  # names of the folders in a cache
ABANDONED = 3600  # seconds after which nobody is writing a file any more


class KeptMaps:
    """A folder of files, one for each view of each clip: its size, its target, and the maps that training goes on from.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, asked: tuple[int, int]) -> Path:
        """Of a view of a clip."""
        number, view = asked
        return self.folder / f"{view}" / f"{number // 1000}" / f"{number}.safetensors"

    def read(self, asked: tuple[int, int]) -> Loaded | None:
        """What is kept of a view; a clip of the same size that holds no pixels stands in for the clip."""
        path = self.path(asked)
        if not path.exists():
            return None
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: a damaged file of the cache ({error}); delete it") from None
        clip = torch.zeros(()).expand(*tensors.pop("size").tolist())
        maps = {name.removeprefix("map."): t for name, t in tensors.items() if name.startswith("map.")}
        target: Any = {name.removeprefix("target."): t for name, t in tensors.items() if name.startswith("target.")}
        if "label" in tensors:
            target = int(tensors["label"])
        return Loaded(asked, clip, target, maps)


class FeatureCache:
    """Fills a folder of kept maps, and gives those of a batch.

    Files appear whole or not at all, under a folder whose name says all that decides what is in them: settings,
    weights, and the state of the files that clips come from.

    Args:
        kept: the maps.
        room: bytes that may be added; views beyond that are computed every time.
        stages: how many of the first stages it is of.
        pixels: what a backbone is given for a clip.
        say: told once when the cache is full.
    """

    def __init__(
        self,
        kept: KeptMaps,
        *,
        room: int,
        stages: int,
        pixels: Callable[[Any, Tensor], Tensor],
        say: Callable[[str], None],
    ) -> None:
        self.kept = kept
        self.room = room
        self.stages = stages
        self.pixels = pixels
        self.say = say
        self._full = False

    @classmethod
    def of_run(cls, plan: Plan, say: Callable[[str], None]) -> "FeatureCache":
        """The cache of a run; what other runs keep in its folder counts too. Processes share out what room is left."""
        settings, described = plan.settings, describe_run(plan)
        backbone: Any = plan.model.backbone
        facts = {
            "version": __version__,
            "model": [described["kind"], described["model"]],
            "data": plan.data.fingerprint(),
            "settings": {name: described["settings"][name] for name in DECIDES},
            "weights": [hash_weights(backbone.stage(n)) for n in backbone.spec.stage_names[: settings.least_frozen]],
        }
        digest = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        folder = Path(str(settings.cache))
        return cls(
            KeptMaps(folder / digest),
            room=max(0, int(settings.cache_gigabytes * 1e9) - _tidy(folder)) // settings.processes,
            stages=settings.least_frozen,
            pixels=plan.task.pixels,
            say=say,
        )

    def maps(self, model: nn.Module, batch: Sequence[Loaded]) -> Maps:
        """Of every clip of a batch, by stage [N, C, T, H, W]; those that are not kept yet are computed, and kept.

        Raises:
            ValueError: clips of a batch with frames of different sizes.
            OSError: a file that cannot be written.
        """
        device = next(model.parameters()).device
        found = []
        for item in batch:
            maps = item.maps
            if maps is None:
                backbone: Any = model.backbone
                with torch.random.fork_rng(
                    devices=[]
                ):  # a detector draws sizes: the step is to draw what it always does
                    pixels = self.pixels(model, item.clip.to(device))
                maps = {name: m[0] for name, m in backbone.leading_maps(pixels, self.stages).items()}
                self._keep(item, maps)
            found.append(maps)
        sizes = {tuple(maps[name].shape[1:]) for maps in found for name in list(maps)[-1:]}
        if len(sizes) > 1:
            raise ValueError(f"a cache needs clips of one size; their last maps are {sorted(sizes)}: crop them")
        return {name: torch.stack([maps[name].to(device) for maps in found]) for name in found[0]}

    def _keep(self, item: Loaded, maps: Mapping[str, Tensor]) -> None:
        tensors = {f"map.{name}": value.cpu().contiguous() for name, value in maps.items()}
        if isinstance(item.target, Mapping):
            tensors |= {f"target.{name}": value.contiguous() for name, value in item.target.items()}
        else:
            tensors["label"] = torch.tensor(item.target)
        tensors["size"] = torch.tensor(item.clip.shape)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size > self.room:
            if not self._full:
                self.say(
                    f"{self.kept.folder.parent}: the cache is full; clips that it does not hold are computed every time"
                )
            self._full = True
            return
        path = self.kept.path(item.asked)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished(path) as place:
                save_file(tensors, place)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OSError(
                f"{path}: the cache cannot be written ({reason}); a smaller cache_gigabytes may help"
            ) from None
        self.room -= size


def _tidy(folder: Path) -> int:
    """The bytes of all maps in a folder of caches, without what runs that were killed left unfinished in it."""
    held = 0
    for file in folder.glob("*/*/*/*"):
        if not DIGEST.fullmatch(file.relative_to(folder).parts[0]):
            continue
        if file.suffix == ".safetensors":
            held += file.stat().st_size
        elif file.suffix == UNFINISHED and time.time() - file.stat().st_mtime > ABANDONED:
            file.unlink(missing_ok=True)
    return held
