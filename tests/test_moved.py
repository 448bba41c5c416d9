from importlib import import_module

import pytest

from res3d.moved import MOVED

NAMES = [(package, name) for package, names in MOVED.items() for name in names]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_old_names_work_with_a_warning_that_tells_the_new_one(package, name):
    with pytest.warns(DeprecationWarning, match=f"{package}.{name} is now res3d"):
        old = getattr(import_module(package), name)
    module, _, new = MOVED[package][name].place.partition(":")
    assert old is getattr(import_module(module), new)


@pytest.mark.parametrize("package", MOVED)
def test_other_names_are_refused_as_ever(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nomen'"):
        import_module(package).nomen  # noqa: B018


def test_questions_of_weights_are_attributes_of_their_source(registered):
    from res3d.weights import open_weights, questions

    source = open_weights(registered)
    assert questions.backbone_of(registered) == source.spec
    assert questions.input_of(registered) == source.clip
    assert questions.head_classes(registered) == source.num_classes == 5
