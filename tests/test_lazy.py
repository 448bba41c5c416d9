import subprocess
import sys

import pytest

import res3d


def run(code: str) -> str:
    """Run Python code in a new process and return its output."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_res3d_does_not_import_torch():
    code = "import sys, res3d; before = 'torch' in sys.modules; res3d.detection.MaskRCNN3d; res3d.ops; print(before)"
    assert run(code) == "False"


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


def test_submodule_does_not_hide_the_function_of_the_same_name():
    """``res3d.tracking.track_video`` is the name of a function and of a module. The package has the function."""
    code = "import res3d; res3d.tracking.check_clips; print(callable(res3d.tracking.track_video))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
