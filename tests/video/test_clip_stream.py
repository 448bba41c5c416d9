"""Assembly of clips from a stream of frames, and the threads that decode and prepare the frames."""

import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from helpers.videos import cut
from hypothesis import given
from hypothesis import strategies as st

from res3d.clips import ClipSampler
from res3d.video import (
    ClipAssembler,
    ClipStream,
    FramePlace,
    StreamFrame,
    StreamStoppedError,
    TimedFrame,
    TruncatedVideoError,
    VideoError,
    VideoReader,
    batched,
    clip_stream,
    prefetch,
    stack_clips,
)

small = st.integers(1, 9)
samplers = st.builds(
    ClipSampler, small, small, st.integers(1, 4), st.sampled_from(["drop", "pad", "shift"])
) | st.builds(ClipSampler, small, small, st.integers(1, 4), st.just("pad"), st.just("center"))


def numbered_frames(n: int, sampler: ClipSampler):
    """Yield frames whose value is their number, or None if no clip uses them, as the pipeline does."""
    for number in range(n):
        is_used = sampler.uses(number) or (number == n - 1 and sampler.tail == "pad")
        values = torch.full((1, 1, 1), float(number)) if is_used else None
        yield StreamFrame(place=FramePlace(number, number, number / 10, (number + 1) / 10, is_used), values=values)


@given(samplers, st.integers(0, 70))
def test_assembled_clips_are_those_of_the_sampler(sampler, n):
    assembler = ClipAssembler(sampler)
    clips = [clip for frame in numbered_frames(n, sampler) for clip in assembler.push(frame)]
    clips += list(assembler.finish())
    expected = sampler.indices(n).tolist()
    assert [list(clip.numbers) for clip in clips] == expected
    assert [stack_clips([clip])[0].flatten().tolist() for clip in clips] == expected
    assert all(clip.values.shape == (1, sampler.length, 1, 1) for clip in clips)


@given(samplers, st.integers(100, 200))
def test_buffer_of_the_assembler_is_about_one_clip(sampler, n):
    assembler = ClipAssembler(sampler)
    for frame in numbered_frames(n, sampler):
        list(assembler.push(frame))
        extra = sampler.stride if sampler.tail == "shift" else 0
        assert len(assembler._buffer) <= sampler.span + extra


def test_assembler_yields_clips_as_soon_as_they_are_complete():
    sampler = ClipSampler(4, 2)
    assembler = ClipAssembler(sampler)
    numbers = [number for number, frame in enumerate(numbered_frames(10, sampler)) for _ in assembler.push(frame)]
    assert numbers == [3, 5, 7, 9]


def running_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("res3d")]


@pytest.fixture
def small_chunks(monkeypatch):
    """Limit chunks to two frames."""
    monkeypatch.setattr(clip_stream, "CHUNK_FRAMES", 2)


@pytest.mark.parametrize(
    "sampler",
    [
        ClipSampler(8, 4, tail="shift"),
        ClipSampler(4, 9, 2),
        ClipSampler(5, 1, align="center"),
        ClipSampler(3, 7, 2, "drop"),
        ClipSampler(64, 64, tail="shift"),
    ],
    ids=str,
)
@pytest.mark.parametrize("settings", [{}, {"start": 0.4, "fps": 10.0}], ids=str)
def test_clips_equal_those_of_the_whole_video_in_memory(video, sampler, settings, small_chunks):
    frames = list(VideoReader(video, **settings).frames())
    pixels = torch.from_numpy(np.stack([frame.rgb() for frame in frames])).permute(3, 0, 1, 2)
    indices = sampler.indices(len(frames))
    clips = list(ClipStream(reader=VideoReader(video, **settings), sampler=sampler))
    assert [list(clip.numbers) for clip in clips] == indices.tolist()
    for clip, row in zip(clips, indices, strict=True):
        assert torch.equal(clip.values, pixels[:, row])
        assert clip.values.is_contiguous()
        places = [frame.place for frame in clip.frames]
        assert [place.source_index for place in places] == [frames[n].index for n in row]
        assert [(p.seconds, p.end_seconds) for p in places] == [(frames[n].seconds, frames[n].end_seconds) for n in row]
    assert not running_threads()


def test_each_frame_is_processed_once_in_the_right_thread(video, monkeypatch, small_chunks):
    counts: dict[str, Counter[int]] = {"rgb": Counter(), "prepare": Counter(), "transform": Counter()}
    rgb = TimedFrame.rgb
    monkeypatch.setattr(TimedFrame, "rgb", lambda self: counts["rgb"].update([self.index]) or rgb(self))
    thread_names: dict[str, set[str]] = {"prepare": set(), "transform": set()}
    stages = []

    def step(name):
        def run(frames):
            thread_names[name].add(threading.current_thread().name)
            counts[name]["frames"] += len(frames)
            return frames.permute(0, 3, 1, 2) if name == "prepare" else frames

        return run

    def measure(stage):
        stages.append(stage)
        return threading.Lock()  # any context manager

    progress = []
    stream = ClipStream(
        reader=VideoReader(video),
        sampler=ClipSampler(8, 2),
        prepare=step("prepare"),
        transform=step("transform"),
        measure=measure,
        progress=progress.append,
    )
    assert len(list(stream)) == 17
    assert counts["rgb"] == Counter(range(40))
    assert counts["prepare"]["frames"] == counts["transform"]["frames"] == 40
    assert all(name.startswith("res3d-worker") for name in thread_names["prepare"])
    assert thread_names["transform"] == {threading.current_thread().name}
    assert set(stages) == {"decode", "preprocess"}
    assert sum(progress) == 40


def test_frames_are_prepared_ahead_up_to_the_limit(video, small_chunks):
    prepared = []

    def prepare(frames):
        prepared.append(len(frames))
        return frames.permute(0, 3, 1, 2)

    clips = iter(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2), prepare=prepare, ahead=1))
    next(clips)
    deadline = time.monotonic() + 5
    while sum(prepared) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sum(prepared) >= 4, "no frame was prepared while the first clip was in use"
    time.sleep(0.1)
    # At most: one chunk in use, one waiting, one about to be queued, and those of the workers.
    assert sum(prepared) <= 2 * (4 + clip_stream.PREPARERS)
    clips.close()
    assert not running_threads()


def test_error_in_prepare_is_raised_after_the_clips_before_it(video, small_chunks):
    calls = []

    def fail(frames):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError("full")
        return frames.permute(0, 3, 1, 2)

    clips = []
    with pytest.raises(MemoryError, match="full"):
        clips.extend(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2), prepare=fail))
    assert [clip.numbers for clip in clips] == [(2 * k, 2 * k + 1) for k in range(len(clips))]
    assert not running_threads()


@pytest.mark.parametrize("chunk", [2, 32])
def test_damage_is_raised_after_the_clips_before_it(video, chunk, monkeypatch):
    frames = VideoReader.frames

    def broken(self):
        for number, frame in enumerate(frames(self)):
            if number == 7:
                raise VideoError("broken")
            yield frame

    monkeypatch.setattr(VideoReader, "frames", broken)
    monkeypatch.setattr(clip_stream, "CHUNK_FRAMES", chunk)
    clips = []
    with pytest.raises(VideoError, match="broken"):
        clips.extend(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 1, tail="shift")))
    assert [clip.numbers for clip in clips] == [(k, k + 1) for k in range(6)]
    assert not running_threads()


def test_truncated_video_raises_and_damage_is_set(video):
    reader = VideoReader(cut(video, 0.8))
    with pytest.raises(TruncatedVideoError):
        list(ClipStream(reader=reader, sampler=ClipSampler(2, 2)))
    assert reader.damage
    assert not running_threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_error_or_ctrl_c_in_the_loop_ends_the_threads(video, error, small_chunks):
    def use():
        for _ in batched(iter(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2))), 3):
            raise error("enough")

    with pytest.raises(error, match="enough"):
        use()
    assert not running_threads()


def test_stop_event_ends_a_stream_that_waits_for_its_decoder(video, monkeypatch):
    release, stop = threading.Event(), threading.Event()
    frames = VideoReader.frames

    def slow(self):
        for number, frame in enumerate(frames(self)):
            if number == 20:
                release.wait(20)
            yield frame

    monkeypatch.setattr(VideoReader, "frames", slow)
    monkeypatch.setattr(prefetch, "JOIN_SECONDS", 0.1)
    monkeypatch.setattr(clip_stream, "CHUNK_FRAMES", 2)
    clips = iter(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2), stop=stop))
    next(clips)
    threading.Timer(0.05, stop.set).start()
    start = time.monotonic()
    with pytest.raises(StreamStoppedError):
        list(clips)
    elapsed = time.monotonic() - start
    release.set()
    assert elapsed < 2


def test_batched_yields_lists_and_closes_its_source():
    closed = []

    def items():
        try:
            yield from range(7)
        finally:
            closed.append(True)

    assert list(batched(items(), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    batches = batched(items(), 3)
    next(batches)
    batches.close()
    assert closed == [True, True]
