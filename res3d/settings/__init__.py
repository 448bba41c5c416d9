"""Settings as dataclasses: built from YAML and plain values, checked, with suggestions for misspelt names."""

from res3d.settings.checks import Range, check_choice, check_ranges, check_triple, check_width
from res3d.settings.extras import missing_extra
from res3d.settings.suggest import did_you_mean, nearest_name
from res3d.settings.yaml_form import build_dataclass, change_dataclass, dump_dataclass, parse_dataclass

__all__ = [
    "Range",
    "build_dataclass",
    "change_dataclass",
    "check_choice",
    "check_ranges",
    "check_triple",
    "check_width",
    "did_you_mean",
    "dump_dataclass",
    "missing_extra",
    "nearest_name",
    "parse_dataclass",
]
