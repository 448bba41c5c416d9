"""Runs the settings in YAML files one after the other, as one of several processes if the environment says so."""

import sys
from pathlib import Path

import yaml

from res3d.training import TrainingSettings, train

if __name__ == "__main__":
    for name in sys.argv[1:]:
        train(TrainingSettings(**yaml.safe_load(Path(name).read_text())))
