import pickle

import pytest
import torch
from helpers.detectors import tiny_detector

from res3d.training.detector import DetectorTask
from res3d.training.packed_masks import PackedMasks


@pytest.mark.parametrize("shape", [(3, 4, 1, 17, 23), (0, 4, 17, 23), (2, 1, 8, 8)])
def test_masks_survive_packing_and_pickling(shape):
    values = {"boxes": torch.rand(shape[0], 4), "masks": torch.rand(shape)}
    packed = pickle.loads(pickle.dumps(PackedMasks(values)))
    assert list(packed) == ["boxes", "masks"]
    assert torch.equal(packed["boxes"], values["boxes"])
    assert packed["masks"].dtype == torch.bool
    assert torch.equal(packed["masks"], values["masks"] > 0.5)
    assert torch.equal(PackedMasks(packed)["masks"], packed["masks"])


def test_masks_are_optional():
    packed = PackedMasks({"boxes": torch.rand(2, 4)})
    assert "masks" not in packed
    assert len(packed) == 1
    with pytest.raises(KeyError):
        packed["masks"]


def test_packed_results_are_small():
    masks = torch.zeros(20, 8, 200, 300, dtype=torch.bool)
    masks[:, :, 50:120, 60:200] = True
    assert len(pickle.dumps(DetectorTask.truth({"masks": masks}))) < masks.numel() / 100
    model = tiny_detector(mask=True, box_score_thresh=0.0).eval()
    with torch.no_grad():
        (result,) = DetectorTask(model).predict([(torch.rand(3, 2, 96, 96), {})])
    assert result["masks"].shape[1:] == (2, 1, 96, 96)
    assert len(result["boxes"])
    assert len(pickle.dumps(result)) < result["masks"].numel()
