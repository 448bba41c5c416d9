"""The datasets by the names that a config calls them.

A new one is a module with a ``ClipData`` that is a dataclass of plain values (its fields are the keys of a config),
and a row here.
"""

from collections.abc import Mapping

from res3d.data.cifar10 import Cifar10Clips
from res3d.data.dataset_info import ClipData
from res3d.data.labelled_clips import LabelledClips
from res3d.data.sensor_windows import SensorWindows
from res3d.data.synthetic_clips import SyntheticClips
from res3d.data.tracked_clips import TrackedClips

DATASETS: Mapping[str, type[ClipData]] = {
    "tracked": TrackedClips,
    "synthetic": SyntheticClips,
    "labelled": LabelledClips,
    "cifar10": Cifar10Clips,
    "sensor": SensorWindows,
}
