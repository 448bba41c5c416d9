import subprocess
import sys

import pytest

import res3d


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_no_torch_and_submodules_are_there_all_the_same():
    code = "import sys, res3d; before = 'torch' in sys.modules; res3d.detection.MaskRCNN3d; res3d.ops; print(before)"
    assert run(code) == "False"


def test_every_public_name_is_found_by_star_and_by_dir():
    names: dict[str, object] = {}
    exec("from res3d import *", names)
    assert set(res3d.__all__) <= set(names)
    assert {*res3d.__all__, "resnet18_3d", "r3d_18"} <= set(dir(res3d))


def test_networks_are_functions_of_the_package():
    assert res3d.resnet18_3d is res3d.resnet18_3d
    assert res3d.resnet18_3d(width=0.125).spec.name == "resnet18_3d"


@pytest.mark.parametrize("name", ["resnet18_4d", "_private", "nothing"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'res3d' has no attribute '{name}'"):
        getattr(res3d, name)
    assert not hasattr(res3d, name)


def test_a_name_is_not_hidden_by_the_submodule_of_that_name():
    """``res3d.tracking.track_video`` is a function and a module; the function is what the package offers."""
    code = "import res3d; res3d.tracking.check_clips; print(callable(res3d.tracking.track_video))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
