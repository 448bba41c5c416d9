import pytest

from res3d.training import TrainingSettings

KINDS = {"model": {"kind": "classifier", "backbone": "r3d_18"}, "train": {"kind": "cifar10", "folder": "x"}}


def test_the_frozen_stages_of_an_epoch():
    settings = TrainingSettings(**KINDS, freeze_at=3, unfreeze={5: 0, 2: 1})
    assert [settings.frozen_in(epoch) for epoch in range(7)] == [3, 3, 1, 1, 1, 0, 0]
    assert settings.least_frozen == 0
    assert TrainingSettings(**KINDS, freeze_at=2).least_frozen == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number ≥ 1, not 0"),
        ({"workers": -1}, "workers must be a whole number ≥ 0, not -1"),
        ({"views": 0}, "views must be a whole number ≥ 1, not 0"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, not 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0, not nan"),
        ({"weight_decay": -1.0}, "weight_decay must be ≥ 0, not -1.0"),
        ({"averaging": 1.0}, r"averaging must be in \[0, 1\), not 1.0"),
        ({"precision": 8}, "precision: expected one of 32, bf16, 16, not 8"),
        ({"optimizer": "lion"}, "optimizer.kind must be one of adamw, adam, sgd, not 'lion'"),
        ({"freeze_at": 6}, r"freeze_at must be 0 \(nothing\) to 5 \(everything\), not 6"),
        ({"freeze_at": 2, "unfreeze": {2: -1}}, "unfreeze must give a lower freeze_at from epoch to epoch"),
        ({"freeze_at": 2, "unfreeze": {0: 1}}, r"from epoch to epoch \(from 1\), below 2 here, not 0: 1"),
        ({"freeze_at": 3, "unfreeze": {2: 1, 4: 2}}, r"below 1 here, not 4: 2"),
        ({"rates": {"neck": -0.1}}, "rates: that of 'neck' must be ≥ 0, not -0.1"),
        ({"std": [0.0]}, r"mean must be finite numbers and std numbers > 0, not \(\) and \(0.0,\)"),
        ({"milestones": [3.0]}, "milestones are of the schedule 'step', not of 'constant'"),
        ({"schedule": "step"}, "schedule 'step' needs milestones"),
        (
            {"validate": KINDS["train"], "validate_every": 5, "epochs": 4},
            "validate_every must be ≤ 4, the run's epochs, not 5",
        ),
        ({"clip_gradient": 0.0}, "clip_gradient must be > 0, not 0.0"),
        ({"freeze_at": 2, "unfreeze": {4: 1}, "epochs": 4}, "unfreeze: after 4 epochs a run of 4 is over"),
        ({"early_stopping": 3}, "early_stopping needs scores, and so data to validate on"),
        (
            {"batch_size": 6, "devices": 2, "accumulate": 2},
            "batch_size must be a multiple of 2 devices × 1 nodes × 2 accumulated parts, not 6",
        ),
        (
            {"freeze_at": 1, "unfreeze": {1: 0}, "precision": "16", "devices": 2},
            "unfreeze on several devices needs precision 32 or bf16",
        ),
    ],
)
def test_wrong_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{**KINDS, **fields})
