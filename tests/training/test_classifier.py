import math

import pytest
import torch
from torch import nn

import res3d
from res3d.data import DatasetInfo
from res3d.training.classifier import CLASSIFIER


def test_scores_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    scores = CLASSIFIER.score(list(logits), [0, 1, 0, 0])
    assert scores["accuracy"] == 0.75, "of equal logits the first class counts"
    parts = [math.log(1 + 2 * math.exp(-2)), math.log(1 + math.exp(-1) + math.exp(2)), math.log(1 + 2 / math.e)]
    assert scores["loss"] == pytest.approx((sum(parts) + math.log(3)) / 4, rel=1e-5)
    assert set(scores) == {"accuracy", "loss"}


def test_the_likeliest_five_count_where_there_are_more():
    logits = torch.arange(7.0).flip(0).repeat(2, 1)  # 0 is likeliest, 6 least likely
    assert CLASSIFIER.score(list(logits), [4, 5])["accuracy_top5"] == 0.5


def test_clips_of_different_sizes_are_refused_by_size(thin):
    model = res3d.ClipClassifier(thin, 3)
    clips = [(torch.zeros(3, 2, 32, 32), 0), (torch.zeros(3, 2, 32, 40), 1)]
    with pytest.raises(
        ValueError, match=r"clips of one batch must have one size, not \[\(3, 2, 32, 32\), \(3, 2, 32, 40"
    ):
        CLASSIFIER.losses(model, clips, None)


def test_the_loss_is_cross_entropy(thin):
    model = res3d.ClipClassifier(thin, 3).eval()
    clips = torch.rand(2, 3, 2, 32, 32)
    (loss,) = CLASSIFIER.losses(model, [(clips[0], 2), (clips[1], 0)], None).values()
    assert torch.isclose(loss, nn.CrossEntropyLoss()(model(clips), torch.tensor([2, 0])))


def test_classes_are_the_datas(thin_spec):
    assert CLASSIFIER.build({"backbone": str(thin_spec)}, DatasetInfo(num_classes=4)).num_classes == 4
    assert CLASSIFIER.build({"backbone": str(thin_spec), "num_classes": 9}, DatasetInfo(num_classes=4)).num_classes == 9
    with pytest.raises(ValueError, match=r"model\.num_classes must be ≥ 4, the data's, not 3"):
        CLASSIFIER.build({"backbone": str(thin_spec), "num_classes": 3}, DatasetInfo(num_classes=4))
