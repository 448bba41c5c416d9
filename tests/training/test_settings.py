import re

import pytest
import yaml

from res3d.settings import dump_dataclass, parse_dataclass
from res3d.training import TrainingSettings
from res3d.training.optimizers import Adam, AdamW, Sgd
from res3d.training.schedules import Cosine, StepDecay

KINDS = {"model": {"kind": "classifier", "backbone": "r3d_18"}, "train": {"kind": "cifar10", "folder": "x"}}


def test_frozen_stages_by_epoch():
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
        ({"freeze_at": 6}, r"freeze_at must be from 0 \(no stage\) to 5 \(all stages\), not 6"),
        ({"freeze_at": 2, "unfreeze": {2: -1}}, "unfreeze must map epochs ≥ 1 to decreasing values of freeze_at"),
        ({"freeze_at": 2, "unfreeze": {0: 1}}, r"epochs ≥ 1 to .*, here below 2, not 0: 1"),
        ({"freeze_at": 3, "unfreeze": {2: 1, 4: 2}}, r"here below 1, not 4: 2"),
        ({"rates": {"neck": -0.1}}, "rates: the factor of 'neck' must be ≥ 0, not -0.1"),
        ({"std": [0.0]}, r"mean must be finite numbers and std numbers > 0, not \(\) and \(0.0,\)"),
        ({"milestones": [3.0]}, "milestones need the schedule 'step', not 'constant'"),
        ({"schedule": "step"}, "schedule 'step' needs milestones"),
        (
            {"validate": KINDS["train"], "validate_every": 5, "epochs": 4},
            "validate_every must be ≤ 4, the epochs of the run, not 5",
        ),
        ({"clip_gradient": 0.0}, "clip_gradient must be > 0, not 0.0"),
        (
            {"freeze_at": 2, "unfreeze": {4: 1}, "epochs": 4},
            "unfreeze after 4 epochs has no effect in a run of 4 epochs",
        ),
        ({"early_stopping": 3}, r"early_stopping needs validation data \(validate\)"),
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
def test_invalid_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{**KINDS, **fields})


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{**KINDS, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"kind": "classifier", "backbone": "r3d_18", "widht": 1}},
            "model: unknown key 'widht'; did you mean 'width'?",
        ),
        ({"model": {"kind": "detector", "kepoints": 3}}, "model: unknown key 'kepoints'; did you mean 'keypoints'?"),
        ({"model": {"kind": "detector", "min_sise": 3}}, "model: unknown key 'min_sise'; did you mean 'min_size'?"),
        ({"model": {"kind": "classifier"}}, "model: key 'backbone' is missing"),
        (
            {"model": {"kind": "classifier", "backbone": "x", "dropout": "y"}},
            "model.dropout: expected a number, not 'y'",
        ),
        (
            {"model": {"kind": "classifier", "backbone": "x", "head": "old"}},
            "model.head: expected one of load, new, not 'old'",
        ),
        ({"model": {**KINDS["model"], "freeze_at": 2}}, "model has no key 'freeze_at': set freeze_at at the top level"),
        ({"train": {"kind": "cifar10", "foldr": "x"}}, "train: unknown key 'foldr'; did you mean 'folder'?"),
        (
            {"train": {"kind": "cifr10"}},
            "train.kind must be one of tracked, synthetic, labelled, cifar10, sensor, not 'cifr10'; did",
        ),
        ({"validate": {"kind": "sensor"}}, "validate: key 'windows' is missing"),
        (
            {"validate": {"kind": "tracked", "annotations": "x", "videos": "x"}},
            "validate.kind 'tracked' is for a detector, not for a",
        ),
        ({"augment": {"flop": 1}}, "augment: unknown key 'flop'; did you mean 'flip'?"),
        ({"optimizer": {"kind": "sgd", "momentun": 1}}, "optimizer: unknown key 'momentun'; did you mean 'momentum'?"),
        ({"optimizer": {"kind": "sgd", "momentum": 1}}, "optimizer: momentum must be in [0, 1), not 1.0"),
        ({"optimizer": "adm"}, "optimizer.kind must be one of adamw, adam, sgd, not 'adm'; did you mean 'adam'?"),
        ({"schedule": {"kind": "cosin"}}, "schedule.kind must be one of constant, step, cosine, not 'cosin'; did you"),
        ({"precision": "bf"}, "precision: expected one of 32, bf16, 16, not 'bf'; did you mean 'bf16'?"),
        ({"accelerator": "tpu"}, "accelerator: expected one of auto, cpu, gpu, not 'tpu'"),
        ({"epochs": "many"}, "epochs: expected a whole number, not 'many'"),
        ({"unfreeze": {"soon": 1}}, "unfreeze: expected a whole number, not 'soon'"),
    ],
)
def test_unknown_keys_kinds_and_types_are_refused_by_path(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        settings(**changes)
    text = yaml.safe_dump({**KINDS, **changes})
    with pytest.raises(ValueError, match=re.escape(message)):  # the same message from Python and from YAML
        parse_dataclass(TrainingSettings, text, root="")


def test_optimizer_and_schedule_accept_names_mappings_and_shorthands():
    assert settings().optimizer == AdamW()
    assert settings(optimizer="sgd").optimizer == Sgd(momentum=0.9)
    for changes in ({"optimizer": {"kind": "sgd", "momentum": 0.5}}, {"optimizer": "sgd", "momentum": 0.5}):
        assert settings(**changes).optimizer == Sgd(momentum=0.5)
    assert settings(optimizer="adam", momentum=0.5).optimizer == Adam(), "momentum is ignored"
    assert settings(schedule="cosine", decay=0.5, milestones=[]).schedule == Cosine()
    step = StepDecay(milestones=(1.0, 2.5), decay=0.2)
    assert settings(schedule="step", milestones=[1, 2.5], decay=0.2).schedule == step
    assert settings(schedule={"kind": "step", "milestones": [1, 2.5], "decay": 0.2}).schedule == step
    with pytest.raises(ValueError, match=r"momentum 0\.8 contradicts optimizer\.momentum 0\.5; set only one"):
        settings(optimizer={"kind": "sgd", "momentum": 0.5}, momentum=0.8)


@pytest.mark.parametrize(("name", "precision"), [("bfloat16", "bf16"), ("float32", "32"), (32, "32"), ("fp16", "16")])
def test_precision_and_accelerator_accept_the_names_of_other_commands(name, precision):
    assert settings(precision=name).precision == precision
    assert settings(accelerator="cuda").accelerator == "gpu"


def test_settings_survive_conversion_to_plain_values():
    run = settings(
        model={"kind": "classifier", "backbone": "r3d_18", "norm_eps": "1e-3", "out_features": ["conv5"]},
        augment={"crop": [32, 32]},
        optimizer="sgd",
        momentum=0.7,
        schedule="step",
        milestones=[1.5],
        unfreeze={2: 1},
        freeze_at=2,
        mean=[0.5],
    )
    assert run.model.arguments == {"backbone": "r3d_18", "norm_eps": 0.001, "out_features": ("conv5",)}
    plain = run.to_plain()
    assert plain["optimizer"] == {"kind": "sgd", "momentum": 0.7}
    assert plain["schedule"] == {"kind": "step", "milestones": [1.5], "decay": 0.1}
    assert not {"momentum", "milestones", "decay"} & plain.keys(), "shorthands are left out"
    assert TrainingSettings(**yaml.safe_load(yaml.safe_dump(plain))) == run
    assert parse_dataclass(TrainingSettings, dump_dataclass(run), root="") == run
