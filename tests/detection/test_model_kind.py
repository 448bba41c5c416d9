import pytest
import torch
from helpers.detectors import tiny_detector

import res3d
from res3d.detection import MaskRCNN3d


def test_file_of_other_conventions_is_refused(tmp_path):
    """The tensors fit, but pixel convention and channel order differ: the model would compute something else."""
    saved = tiny_detector(neck="c4", design="detect_and_track", mask=False)
    res3d.save_weights(saved, tmp_path / "d.safetensors")
    sides = saved.spec.proposals.anchors.sizes[0]
    with pytest.raises(res3d.WeightsError, match=r"was saved with box_offset = 1, not 0 .*load_detector rebuilds the"):
        tiny_detector(neck="c4", mask=False, anchor_sizes=sides, weights=tmp_path / "d.safetensors")
    same = tiny_detector(neck="c4", design="detect_and_track", mask=False)
    assert res3d.load_weights(same, tmp_path / "d.safetensors").missing == ()
    other = tiny_detector(neck="c4", design="detect_and_track", mask=False, image_std=(1.0, 1.0, 1.0))
    with pytest.raises(res3d.WeightsError, match=r"was saved with image_std = "):
        res3d.load_weights(other, tmp_path / "d.safetensors")


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"neck": "c4", "design": "detect_and_track"}])
def test_saved_file_rebuilds_the_detector(tmp_path, keywords):
    model = tiny_detector(box_nms_thresh=0.4, **keywords).eval()
    model.set_norm_eps(1e-3)
    res3d.save_weights(model, tmp_path / "detector.safetensors")
    loaded = res3d.load_model(tmp_path / "detector.safetensors").eval()
    assert isinstance(loaded, MaskRCNN3d)
    assert (loaded.spec, loaded.settings) == (model.spec, model.settings)
    clip = torch.rand(3, 2, 40, 56)
    with torch.no_grad():
        (expected,), (result,) = model([clip]), loaded([clip])
    assert all(torch.equal(expected[name], result[name]) for name in expected)
    backbone = res3d.ResNet3d(model.spec.backbone)
    report = res3d.load_weights(backbone, tmp_path / "detector.safetensors", norm_eps=1e-3)
    assert report.missing == report.unexpected == ()
    assert torch.equal(backbone.stem.conv.weight, model.backbone.stem.conv.weight)


def test_weights_of_another_detector_are_refused(tmp_path):
    model = tiny_detector()
    res3d.save_weights(model, tmp_path / "d.safetensors")
    with pytest.raises(res3d.WeightsError, match="res3d detector weights, but not of this resnet10_3d_thin"):
        res3d.load_weights(tiny_detector(mask=False, keypoints=5), tmp_path / "d.safetensors")
