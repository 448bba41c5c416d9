import threading

import numpy as np
import pytest

from res3d.features import ExtractionRun, FeatureExtractor, NetworkOptions, PipelineTimes
from res3d.video import KINETICS, ClipSampler, Preprocessing, StreamStoppedError, VideoReader

SMALL = Preprocessing(resize=(40, 50), crop=(32, 32), mean=KINETICS.mean, std=KINETICS.std)


@pytest.fixture
def extractor(thin) -> FeatureExtractor:
    options = NetworkOptions(batch_size=3)
    return FeatureExtractor(thin, sampler=ClipSampler(8, 4), preprocess=SMALL, options=options)


def test_batches_have_at_most_batch_size_clips_in_order(extractor, video):
    run = ExtractionRun(extractor, VideoReader(video))
    batches = list(run.batches())
    assert [len(batch.features) for batch in batches] == [3, 3, 3]
    indices = np.concatenate([batch.frame_indices for batch in batches])
    assert indices.tolist() == ClipSampler(8, 4).indices(40).tolist()


def test_video_without_a_clip_gives_one_empty_batch(thin, video):
    extractor = FeatureExtractor(thin, sampler=ClipSampler(50, tail="drop"), preprocess=SMALL)
    (batch,) = ExtractionRun(extractor, VideoReader(video)).batches()
    assert batch.features.shape == (0, 64)
    assert batch.frame_indices.shape == (0, 50)


def test_progress_is_called_with_the_frames_that_were_read(extractor, video):
    counts = []
    ExtractionRun(extractor, VideoReader(video), progress=counts.append).extract()
    assert sum(counts) == 40


def test_stop_event_ends_the_run_and_removes_the_file(extractor, video, tmp_path):
    stop = threading.Event()
    stop.set()
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(StreamStoppedError):
        ExtractionRun(extractor, VideoReader(video), stop=stop).extract_to(out / "a.npz")
    assert list(out.iterdir()) == []


def test_busy_times_of_all_parts_are_measured(extractor, video):
    times = PipelineTimes()
    ExtractionRun(extractor, VideoReader(video), times).extract()
    assert min(times.busy_seconds.values()) > 0


def test_runs_of_one_extractor_in_threads_give_the_same_features(extractor, video):
    results = [None, None]

    def run(number: int) -> None:
        results[number] = ExtractionRun(extractor, VideoReader(video)).extract().features

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(results[0], results[1])
