import numpy as np
import pytest
from helpers.runs import change_settings, curve, run, sensor_settings


def test_patience_can_change_when_a_run_is_resumed(tmp_path):
    changes = {"epochs": 40, "learning_rate": 1e-9}
    run(sensor_settings(tmp_path / "run", **changes, early_stopping=2))
    for patience in (2, 1):
        _, lines = run(sensor_settings(tmp_path / "run", **changes, early_stopping=patience))
        assert lines[0].endswith("early_stopping 2 ended it; set a larger value, or none, to continue it")
    result, _ = run(sensor_settings(tmp_path / "run", **changes, early_stopping=5))
    assert result.steps == 6 * 3, "the first score, and five validations without a better one"


def test_stopped_run_continues_only_without_early_stopping(tmp_path):
    changes = {"epochs": 40, "early_stopping": 2, "learning_rate": 1e-9, "validate_every": 2}
    result, _ = run(sensor_settings(tmp_path / "run", **changes))
    assert result.steps == 6 * 3, "the first score, and two validations without a better one"
    _, lines = run(sensor_settings(tmp_path / "run", **changes))
    assert "is finished, after 18 steps" in lines[0]
    result, _ = run(sensor_settings(tmp_path / "run", **{**changes, "early_stopping": None, "epochs": 7}))
    assert result.steps == 7 * 3


@pytest.mark.slow
def test_scores_on_other_validation_data_are_not_compared(tmp_path):
    result, _ = run(sensor_settings(tmp_path / "run", epochs=12, early_stopping=2, validate_every=2))
    assert result.score == 1.0
    rng = np.random.default_rng(0)
    np.save(tmp_path / "noise.npy", rng.normal(size=(32, 2, 16)).astype(np.float32))
    settings = sensor_settings(tmp_path / "run", epochs=result.steps // 3 + 2, early_stopping=2)
    settings = change_settings(settings, validate={"windows": str(tmp_path / "noise.npy")})
    resumed, _ = run(settings)
    assert resumed.steps == result.steps + 6, "counting starts anew"
    rows = curve(tmp_path / "run", "validate")[-2:]
    assert resumed.score == pytest.approx(max(row["accuracy"] for row in rows), abs=1e-5)
    assert resumed.score < 1
