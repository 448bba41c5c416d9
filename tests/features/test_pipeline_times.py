import time

from res3d.features import PipelineTimes


def test_shares_are_relative_to_the_elapsed_time():
    times = PipelineTimes()
    with times.measure("decode"):
        time.sleep(0.05)
    time.sleep(0.05)
    shares = times.shares()
    assert 0.25 < shares["decode"] < 0.75
    assert shares["network"] == 0
    assert str(times).endswith("preprocess 0 %, network 0 %")
