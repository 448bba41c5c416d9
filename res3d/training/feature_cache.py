"""Maps of the stages that stay frozen, computed once for each view of a clip and kept on disk."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from res3d.training.loading import Loaded
from res3d.training.plan import Plan
from res3d.training.resume import describe_run
from res3d.training.tasks import Maps
from res3d.version import __version__
from res3d.weights import hash_weights

DECIDES = ("train", "augment", "views", "mean", "std", "seed", "precision")  # what a view shows, and how it is computed


class FeatureCache:
    """A folder of files, one for each view of each clip: its size, its target, and the maps that training goes on from.

    Files appear whole or not at all, under a folder whose name says all that decides what is in them: settings,
    weights, and the state of the files that clips come from.

    Args:
        folder: of the files, made if absent.
        most_bytes: that it may hold; views beyond that are computed every time.
        stages: how many of the first stages it is of.
        pixels: what a backbone is given for a clip.
        say: told once when the cache is full.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int,
        stages: int,
        pixels: Callable[[Any, Tensor], Tensor],
        say: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.stages = stages
        self.pixels = pixels
        self.say = say
        folder.mkdir(parents=True, exist_ok=True)
        self._bytes = sum(file.stat().st_size for file in folder.parent.rglob("*.safetensors"))
        self._full = False

    @classmethod
    def of_run(cls, plan: Plan, say: Callable[[str], None]) -> "FeatureCache":
        """The cache of a run; what other runs keep in its folder counts too. Processes share the bytes out evenly."""
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
        return cls(
            Path(str(settings.cache)) / digest,
            most_bytes=int(settings.cache_gigabytes * 1e9) // settings.processes,
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

    def read(self, asked: tuple[int, int]) -> Loaded | None:
        """What is kept of a view; a clip of the same size that holds no pixels stands in for the clip."""
        path = self._path(asked)
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

    def _path(self, asked: tuple[int, int]) -> Path:
        number, view = asked
        return self.folder / f"{view}" / f"{number // 1000}" / f"{number}.safetensors"

    def _keep(self, item: Loaded, maps: Mapping[str, Tensor]) -> None:
        tensors = {f"map.{name}": value.cpu().contiguous() for name, value in maps.items()}
        if isinstance(item.target, Mapping):
            tensors |= {f"target.{name}": value.contiguous() for name, value in item.target.items()}
        else:
            tensors["label"] = torch.tensor(item.target)
        tensors["size"] = torch.tensor(item.clip.shape)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if self._bytes + size > self.most_bytes:
            if not self._full:
                self.say(
                    f"{self.folder.parent}: the cache is full; clips that it does not hold are computed every time"
                )
            self._full = True
            return
        path = self._path(item.asked)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, unfinished)
            unfinished.replace(path)
        except (OSError, SafetensorError) as error:
            unfinished.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise OSError(
                f"{path}: the cache cannot be written ({reason}); a smaller cache_gigabytes may help"
            ) from None
        self._bytes += size
