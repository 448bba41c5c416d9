"""Script that trains with the settings of YAML files, one after the other; the environment may define its rank."""

import sys
from pathlib import Path

import yaml

from res3d.training import TrainingSettings, train

if __name__ == "__main__":
    for name in sys.argv[1:]:
        train(TrainingSettings(**yaml.safe_load(Path(name).read_text())))
