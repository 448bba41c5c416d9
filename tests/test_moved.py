from importlib import import_module

import pytest

from res3d.moved import MOVED

NAMES = [(package, name) for package, names in MOVED.items() for name in names]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_old_name_works_and_warns_with_the_new_name(package, name):
    with pytest.warns(DeprecationWarning, match=f"{package}.{name} is now res3d"):
        old = getattr(import_module(package), name)
    module, _, new = MOVED[package][name].target.partition(":")
    assert old is getattr(import_module(module), new)


@pytest.mark.parametrize("package", MOVED)
def test_unknown_name_raises_attribute_error(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nomen'"):
        import_module(package).nomen  # noqa: B018


def test_old_functions_equal_attributes_of_the_weights_source(registered):
    from res3d.weights import open_weights, questions

    source = open_weights(registered)
    assert questions.backbone_of(registered) == source.spec
    assert questions.input_of(registered) == source.clip
    assert questions.head_classes(registered) == source.num_classes == 5
