import pytest
import torch

import res3d
from res3d.backbone import HeadSpec
from res3d.backbone.classifier import pool_head


def test_a_classifier_averages_the_last_map_and_applies_a_linear_layer():
    model = res3d.create_classifier("r3d_18", 7, width=0.125, dropout=0.5).eval()
    clip = torch.randn(2, 3, 4, 32, 40)
    pooled = model.backbone(clip)["conv5"].mean(dim=(2, 3, 4))
    torch.testing.assert_close(model(clip), pooled @ model.fc.weight.T + model.fc.bias)
    assert model(clip).shape == (2, 7)
    assert model.num_classes == 7
    model.train()
    torch.manual_seed(1)
    assert not torch.equal(model(clip), model(clip)), "dropout has no effect"


@pytest.mark.parametrize("out_features", [["conv3"], ["conv5", "stem"]])
def test_a_classifier_uses_the_last_map_whatever_out_features_are(thin, out_features):
    backbone = res3d.ResNet3d(thin.spec, out_features=out_features).eval()
    backbone.load_state_dict(thin.state_dict())
    classifier, clip = res3d.ClipClassifier(backbone, 3).eval(), torch.randn(2, 3, 4, 32, 32)
    assert torch.equal(classifier(clip), classifier.classify_maps(thin(clip)["conv5"]))


@pytest.mark.parametrize(
    ("classes", "keywords", "message"),
    [
        (0, {}, "num_classes must be a whole number ≥ 1, not 0"),
        (5, {"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
        (5, {"head": "old"}, "head must be 'load' or 'new', not 'old'"),
    ],
)
def test_invalid_classifiers_are_refused(classes, keywords, message):
    with pytest.raises(ValueError, match=message):
        res3d.create_classifier("r3d_18", classes, width=0.125, **keywords)


def test_categories_must_name_all_classes(thin):
    assert res3d.ClipClassifier(thin, 2, categories=["walk", "run"]).categories == ("walk", "run")
    with pytest.raises(ValueError, match="categories must be empty or name all 3 classes, not 2"):
        res3d.ClipClassifier(thin, 3, categories=["walk", "run"])


def test_set_norm_eps_changes_modules_and_spec(thin):
    classifier = res3d.ClipClassifier(res3d.ResNet3d(thin.spec), 3)
    classifier.set_norm_eps(1e-2)
    assert classifier.backbone.spec.norm.eps == 1e-2
    assert {m.eps for m in classifier.modules() if hasattr(m, "eps")} == {1e-2}
    assert classifier.dense_parts() == (classifier.backbone,)


FEATURES = torch.arange(2.0 * 3 * 4 * 2 * 6).reshape(2, 3, 4, 2, 6)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (HeadSpec(), FEATURES.mean(dim=(2, 3, 4))),
        (HeadSpec(pool="max"), FEATURES[:, :, -1, -1, -1]),
        (HeadSpec(window=(4, 2, 6)), FEATURES.mean(dim=(2, 3, 4))),
        # The windows are columns 0 to 1 and 3 to 4, and their results are averaged.
        (HeadSpec(window=(4, 2, 2), stride=(1, 1, 3)), FEATURES[..., [0, 1, 3, 4]].mean(dim=(2, 3, 4))),
        (
            HeadSpec(pool="max", window=(4, 2, 2), stride=(1, 1, 3)),
            (FEATURES[:, :, -1, -1, 1] + FEATURES[:, :, -1, -1, 4]) / 2,
        ),
        # Channels first, then positions: the linear layer takes [C · 3].
        (
            HeadSpec(window=(4, 2, 2), stride=(1, 1, 2), positions=(1, 1, 3)),
            FEATURES.mean(dim=(2, 3)).unflatten(2, (3, 2)).mean(dim=3).flatten(1),
        ),
    ],
)
def test_pooling_of_the_last_map(head, expected):
    pooled = pool_head(FEATURES, head, "net")
    torch.testing.assert_close(pooled, expected)
    assert pooled.shape == (2, head.inputs(3))


def test_a_map_that_does_not_fit_the_head_is_refused():
    with pytest.raises(ValueError, match=r"classifier of net pools windows of \(5, 2, 6\) .*, but .* \(4, 2, 6\)"):
        pool_head(FEATURES, HeadSpec(window=(5, 2, 6)), "net")
    with pytest.raises(ValueError, match=r"classifier of net takes \(1, 1, 2\) .*, but this clip has \(1, 1, 5\)"):
        pool_head(FEATURES, HeadSpec(window=(4, 2, 2), positions=(1, 1, 2)), "net")
