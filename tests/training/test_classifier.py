import math

import pytest
import torch
from torch import nn

import res3d
from res3d.data import DatasetInfo
from res3d.training.classifier import ClassifierTask


def test_scores_computed_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    scores = ClassifierTask(nn.Module()).score(list(logits), [0, 1, 0, 0])
    assert scores["accuracy"] == 0.75, "of equal logits the first class counts"
    parts = [math.log(1 + 2 * math.exp(-2)), math.log(1 + math.exp(-1) + math.exp(2)), math.log(1 + 2 / math.e)]
    assert scores["loss"] == pytest.approx((sum(parts) + math.log(3)) / 4, rel=1e-5)
    assert set(scores) == {"accuracy", "loss"}


def test_top5_accuracy_with_more_than_five_classes():
    logits = torch.arange(7.0).flip(0).repeat(2, 1)  # class 0 is the most likely, class 6 the least likely
    assert ClassifierTask(nn.Module()).score(list(logits), [4, 5])["accuracy_top5"] == 0.5


def test_clips_of_different_sizes_are_refused(thin):
    model = res3d.ClipClassifier(thin, 3)
    clips = [(torch.zeros(3, 2, 32, 32), 0), (torch.zeros(3, 2, 32, 40), 1)]
    message = r"all clips of a batch must have the same shape, not \[\(3, 2, 32, 32\), \(3, 2, 32, 40"
    with pytest.raises(ValueError, match=message):
        ClassifierTask(model).losses(clips)


def test_loss_is_cross_entropy(thin):
    model = res3d.ClipClassifier(thin, 3).eval()
    clips = torch.rand(2, 3, 2, 32, 32)
    (loss,) = ClassifierTask(model).losses([(clips[0], 2), (clips[1], 0)]).values()
    assert torch.isclose(loss, nn.CrossEntropyLoss()(model(clips), torch.tensor([2, 0])))


def test_num_classes_defaults_to_the_data_and_can_be_larger(thin_spec):
    build = ClassifierTask.build
    assert build({"backbone": str(thin_spec)}, DatasetInfo(num_classes=4)).model.num_classes == 4
    assert build({"backbone": str(thin_spec), "num_classes": 9}, DatasetInfo(num_classes=4)).model.num_classes == 9
    with pytest.raises(ValueError, match=r"model\.num_classes must be ≥ 4, the classes of the data, not 3"):
        build({"backbone": str(thin_spec), "num_classes": 3}, DatasetInfo(num_classes=4))
