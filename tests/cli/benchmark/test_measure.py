from res3d.cli.benchmark.measure import plan_runs


def test_runs_have_every_batch_size_and_every_length_without_duplicates():
    assert plan_runs(["r3d_18"], batches=[2, 4], frames=[16, 8]) == [
        ("r3d_18", 2, 16),
        ("r3d_18", 4, 16),
        ("r3d_18", 2, 8),
    ]


def test_networks_run_one_after_the_other():
    assert plan_runs(["r3d_18", "slow_r50"], batches=[1], frames=[]) == [("r3d_18", 1, 16), ("slow_r50", 1, 8)]
