import json
import subprocess
import sys
from typing import Any

import pytest

import res3d

HEAVY = ("cv2", "matplotlib", "pandas", "pytorch_lightning", "pytorchvideo", "scipy", "supervision", "trackeval")


@pytest.fixture(scope="module")
def new_process() -> dict[str, Any]:
    """Observations in a new process, which all tests share because importing torch takes seconds."""
    code = f"""
import json, sys, res3d
observations = {{"torch": "torch" in sys.modules}}
res3d.detection.MaskRCNN3d; res3d.ops
res3d.extract_features, res3d.load_model, res3d.video
observations["heavy"] = [name for name in {HEAVY} if name in sys.modules]
res3d.tracking.check_clips
observations["is_function"] = callable(res3d.tracking.track_video)
print(json.dumps(observations))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.slow
def test_import_res3d_does_not_import_torch(new_process):
    assert not new_process["torch"]


@pytest.mark.slow
def test_public_names_import_no_training_or_drawing_library(new_process):
    assert new_process["heavy"] == []


def test_star_import_and_dir_have_every_public_name():
    names: dict[str, object] = {}
    exec("from res3d import *", names)
    assert set(res3d.__all__) <= set(names)
    assert {*res3d.__all__, "resnet18_3d", "r3d_18"} <= set(dir(res3d))


def test_every_backbone_is_a_function_of_the_package():
    assert res3d.resnet18_3d is res3d.resnet18_3d
    assert res3d.resnet18_3d(width=0.125).spec.name == "resnet18_3d"


@pytest.mark.parametrize("name", ["resnet18_4d", "_private", "nothing"])
def test_unknown_name_raises_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'res3d' has no attribute '{name}'"):
        getattr(res3d, name)
    assert not hasattr(res3d, name)


@pytest.mark.slow
def test_submodule_does_not_hide_the_function_of_the_same_name(new_process):
    """``res3d.tracking.track_video`` is the name of a function and of a module. The package has the function."""
    assert new_process["is_function"]
