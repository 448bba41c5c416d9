"""Table of the datasets by their ``kind`` in a configuration.

To add a dataset, write a module with a ``ClipData`` and add an entry here. The class is a dataclass of plain values;
its fields become the keys of the configuration.
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
