"""Checks of differences that the shapes of the tensors do not show, on specs alone."""

from dataclasses import replace

import pytest

from res3d.backbone import CATALOG, BackboneSpec, ShortcutSpec, apply_overrides, with_norm_eps
from res3d.weights import CAFFE2, LAYOUTS, RESNET, WeightsError
from res3d.weights.compatibility import OtherArchitectureError, check_order, check_saved, check_strides
from res3d.weights.layouts import RES3D

RESNET50 = CATALOG["resnet50_3d"]
PREACTIVATION = CATALOG["resnet50v2_3d"]
CAFFE_STRIDES = apply_overrides(RESNET50, stride_on="1x1")


def change_first_block(spec: BackboneSpec, **changes) -> BackboneSpec:
    conv2 = spec.stages[0]
    blocks = (replace(conv2.blocks[0], **changes), *conv2.blocks[1:])
    return replace(spec, stages=(replace(conv2, blocks=blocks), *spec.stages[1:]))


@pytest.mark.parametrize("name", ["resnet50_3d", "resnet18v2_3d", "r2plus1d_18", "csn_r101"])
def test_a_spec_is_compatible_with_itself_and_with_its_body(name):
    spec = CATALOG[name]
    check_saved(spec, spec, None)
    check_saved(spec, spec.split("conv3")[0], None)
    check_saved(spec.split("conv3")[0], spec, None)


def test_another_eps_is_refused_unless_the_caller_sets_it():
    saved = with_norm_eps(RESNET50, 1e-3)
    with pytest.raises(WeightsError, match=r"norm eps 0.001, and the model's is 1e-05 \(norm_eps=0.001 sets it\)"):
        check_saved(saved, RESNET50, None)
    check_saved(saved, RESNET50, 1e-3)
    check_saved(saved, RESNET50, 1e-2)


def test_another_temporal_padding_is_refused():
    with pytest.raises(WeightsError, match="temporal_padding='replicate', not 'zeros'"):
        check_saved(apply_overrides(RESNET50, temporal_padding="replicate"), RESNET50, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "pre"}, "order='pre' in conv2.0, not 'post'"),
        ({"last_act": False}, "last_act=False in conv2.0, not True"),
        ({"shortcut": ShortcutSpec(kind="pool_pad")}, "shortcut='pool_pad' in conv2.0, not 'project'"),
        ({"shortcut": ShortcutSpec(kernel=(1, 3, 3))}, r"shortcut kernel=\(1, 3, 3\) in conv2.0, not \(1, 1, 1\)"),
    ],
)
def test_another_block_is_refused(changes, message):
    with pytest.raises(OtherArchitectureError, match=f"was saved with {message}"):
        check_saved(change_first_block(RESNET50, **changes), RESNET50, None)


def test_stages_of_another_pool_or_stride_location_are_refused():
    conv2 = RESNET50.stages[0]
    for change, message in (
        ({"pool": None}, "pool=None in conv2, not PoolSpec"),
        ({"stride_at": "last"}, "stride_at="),
    ):
        saved = replace(RESNET50, stages=(replace(conv2, **change), *RESNET50.stages[1:]))
        with pytest.raises(OtherArchitectureError, match=message):
            check_saved(saved, RESNET50, None)


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS if layout is not RES3D], ids=lambda layout: layout.name
)
def test_only_post_activation_blocks_take_weights_of_other_libraries(layout):
    check_order(layout, RESNET50)
    with pytest.raises(WeightsError, match=r"order 'post' .* resnet50v2_3d are pre-activation blocks"):
        check_order(layout, PREACTIVATION)


def test_res3d_weights_may_have_blocks_of_any_order():
    check_order(RES3D, PREACTIVATION)


def test_strides_must_be_on_the_convolution_of_the_layout():
    check_strides(RESNET, None, RESNET50)
    check_strides(CAFFE2, None, CAFFE_STRIDES)
    with pytest.raises(WeightsError, match=r"stride on the 1x1 .* on the 3x3 \(set stride_on='1x1'\)"):
        check_strides(CAFFE2, None, RESNET50)
    with pytest.raises(WeightsError, match=r"stride on the 3x3 .* on the 1x1 \(set stride_on='3x3'\)"):
        check_strides(RESNET, None, CAFFE_STRIDES)


def test_the_saved_spec_decides_about_strides_in_place_of_the_layout():
    check_strides(RES3D, CAFFE_STRIDES, CAFFE_STRIDES)
    with pytest.raises(WeightsError, match="stride on the 1x1"):
        check_strides(RES3D, CAFFE_STRIDES, RESNET50)


def test_blocks_without_bottleneck_have_no_stride_to_compare():
    check_strides(CAFFE2, None, CATALOG["resnet18_3d"])
