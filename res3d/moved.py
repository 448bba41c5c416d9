"""Names of earlier versions. They still work, with a DeprecationWarning that has the new name (docs/moving_up.md)."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

from res3d.lazy import ModuleGetattr
from res3d.settings import resolve


class Moved(NamedTuple):
    """Replacement of an old name."""

    target: str
    """"module:NAME" of the object."""
    instead: str
    """New name or expression, for the warning."""


MOVED: Mapping[str, Mapping[str, Moved]] = {
    "res3d.backbone": {
        "ClipInput": Moved("res3d.clips:ClipSpec", "res3d.clips.ClipSpec"),
        "draw_network": Moved("res3d.viz:draw_network", "res3d.viz.draw_network"),
    },
    "res3d.weights": {
        "backbone_of": Moved("res3d.weights.questions:backbone_of", "res3d.weights.open_weights(...).spec"),
        "head_classes": Moved("res3d.weights.questions:head_classes", "res3d.weights.open_weights(...).num_classes"),
        "input_of": Moved("res3d.weights.questions:input_of", "res3d.weights.open_weights(...).clip"),
    },
    "res3d.features": {"StageTimes": Moved("res3d.features:PipelineTimes", "res3d.features.PipelineTimes")},
    "res3d.detection": {"DESIGNS": Moved("res3d.detection:FAMILIES", "res3d.detection.FAMILIES")},
    "res3d.data": {
        "Facts": Moved("res3d.data:DatasetInfo", "res3d.data.DatasetInfo"),
        "DATA_KINDS": Moved("res3d.data:DATASETS", "res3d.data.DATASETS"),
    },
}
"""Old names by package."""


def moved_names(package: str) -> ModuleGetattr:
    """Return a ``__getattr__`` that resolves the old names of a package in ``MOVED``, with a DeprecationWarning."""

    def get(name: str) -> object:
        moved = MOVED[package].get(name)
        if moved is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(f"{package}.{name} is now {moved.instead}", DeprecationWarning, stacklevel=2)
        return resolve(moved.target)

    return get
