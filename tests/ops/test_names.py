import subprocess
import sys

import pytest

from res3d import ops


def test_every_public_name_can_be_imported():
    for name in ops.__all__:
        assert getattr(ops, name).__module__.startswith("res3d.ops") if callable(getattr(ops, name)) else True
    with pytest.raises(AttributeError, match="has no attribute 'tube'"):
        ops.tube  # noqa: B018


def test_track_files_do_not_import_torch():
    code = """
import sys, types
import importlib.util
package = types.ModuleType("res3d")  # the real package may import torch
package.__path__ = importlib.util.find_spec("res3d").submodule_search_locations
sys.modules["res3d"] = package
import res3d.structures.formats
from res3d.ops import Rle, box_iou
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
