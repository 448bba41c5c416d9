"""Names of earlier versions: they still work, with a DeprecationWarning that tells the new one (docs/moving_up.md)."""

import warnings
from collections.abc import Mapping
from importlib import import_module

from res3d.lazy import ModuleGetattr

MOVED: Mapping[str, Mapping[str, str]] = {
    "res3d.backbone": {"ClipInput": "res3d.clips:ClipSpec", "draw_network": "res3d.viz:draw_network"},
    "res3d.weights": {
        "backbone_of": "res3d.weights.questions:backbone_of",
        "head_classes": "res3d.weights.questions:head_classes",
        "input_of": "res3d.weights.questions:input_of",
    },
    "res3d.features": {"StageTimes": "res3d.features:PipelineTimes"},
    "res3d.detection": {"DESIGNS": "res3d.detection:FAMILIES"},
    "res3d.data": {"Facts": "res3d.data:DatasetInfo", "DATA_KINDS": "res3d.data:DATASETS"},
}
"""For each package its old names, and what they are now, as "module:NAME"."""


def moved_names(package: str) -> ModuleGetattr:
    """Return the ``__getattr__`` of a package of ``MOVED``."""

    def get(name: str) -> object:
        place = MOVED[package].get(name)
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, new = place.partition(":")
        instead = "open_weights" if module.endswith(".questions") else new
        warnings.warn(
            f"{package}.{name} is now {module.removesuffix('.questions')}.{instead}", DeprecationWarning, stacklevel=2
        )
        return getattr(import_module(module), new)

    return get
