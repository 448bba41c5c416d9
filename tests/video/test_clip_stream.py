"""Clips put together from a stream of frames, and the threads that make the frames."""

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


def stream(n: int, sampler: ClipSampler):
    """Frames that hold their number; those that no clip needs hold nothing, as the pipeline makes them."""
    for number in range(n):
        held = sampler.uses(number) or (number == n - 1 and sampler.tail == "pad")
        values = torch.full((1, 1, 1), float(number)) if held else None
        yield StreamFrame(place=FramePlace(number, number, number / 10, (number + 1) / 10, held), values=values)


@given(samplers, st.integers(0, 70))
def test_clips_of_a_stream_are_the_samplers(sampler, n):
    assembler = ClipAssembler(sampler)
    clips = [clip for frame in stream(n, sampler) for clip in assembler.push(frame)]
    clips += list(assembler.finish())
    expected = sampler.indices(n).tolist()
    assert [list(clip.numbers) for clip in clips] == expected
    assert [stack_clips([clip])[0].flatten().tolist() for clip in clips] == expected
    assert all(clip.values.shape == (1, sampler.length, 1, 1) for clip in clips)


@given(samplers, st.integers(100, 200))
def test_no_more_than_about_a_clip_is_held(sampler, n):
    assembler = ClipAssembler(sampler)
    for frame in stream(n, sampler):
        list(assembler.push(frame))
        extra = sampler.stride if sampler.tail == "shift" else 0
        assert len(assembler._held) <= sampler.span + extra


def test_clips_are_given_as_soon_as_they_are_complete():
    sampler = ClipSampler(4, 2)
    assembler = ClipAssembler(sampler)
    given_at = [number for number, frame in enumerate(stream(10, sampler)) for _ in assembler.push(frame)]
    assert given_at == [3, 5, 7, 9]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("res3d")]


@pytest.fixture
def small_chunks(monkeypatch):
    """Two frames in a chunk."""
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
def test_clips_are_those_of_all_frames_in_memory(video, sampler, settings, small_chunks):
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
    assert not threads()


def test_each_frame_is_converted_prepared_and_transformed_once_and_in_which_thread(video, monkeypatch, small_chunks):
    done: dict[str, Counter[int]] = {"rgb": Counter(), "prepare": Counter(), "transform": Counter()}
    rgb = TimedFrame.rgb
    monkeypatch.setattr(TimedFrame, "rgb", lambda self: done["rgb"].update([self.index]) or rgb(self))
    where: dict[str, set[str]] = {"prepare": set(), "transform": set()}
    parts = []

    def step(name):
        def run(frames):
            where[name].add(threading.current_thread().name)
            done[name]["frames"] += len(frames)
            return frames.permute(0, 3, 1, 2) if name == "prepare" else frames

        return run

    def measure(part):
        parts.append(part)
        return threading.Lock()  # any context manager

    read = []
    stream = ClipStream(
        reader=VideoReader(video),
        sampler=ClipSampler(8, 2),
        prepare=step("prepare"),
        transform=step("transform"),
        measure=measure,
        progress=read.append,
    )
    assert len(list(stream)) == 17
    assert done["rgb"] == Counter(range(40))
    assert done["prepare"]["frames"] == done["transform"]["frames"] == 40
    assert all(name.startswith("res3d-worker") for name in where["prepare"])
    assert where["transform"] == {threading.current_thread().name}
    assert set(parts) == {"decode", "preprocess"}
    assert sum(read) == 40


def test_it_works_ahead_of_its_use_and_no_further_than_asked(video, small_chunks):
    prepared = []

    def prepare(frames):
        prepared.append(len(frames))
        return frames.permute(0, 3, 1, 2)

    clips = iter(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2), prepare=prepare, ahead=1))
    next(clips)
    deadline = time.monotonic() + 5
    while sum(prepared) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sum(prepared) >= 4, "nothing was made while the first clip was in use"
    time.sleep(0.2)
    # A chunk in use, one that waits, one in hand, and those of the workers.
    assert sum(prepared) <= 2 * (4 + clip_stream.PREPARERS)
    clips.close()
    assert not threads()


def test_an_error_of_preparation_is_raised_after_the_clips_before_it(video, small_chunks):
    calls = []

    def fail(frames):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError("full")
        return frames.permute(0, 3, 1, 2)

    got = []
    with pytest.raises(MemoryError, match="full"):
        got.extend(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2), prepare=fail))
    assert [clip.numbers for clip in got] == [(2 * k, 2 * k + 1) for k in range(len(got))]
    assert not threads()


@pytest.mark.parametrize("chunk", [2, 32])
def test_a_damaged_video_is_told_after_the_clips_before_the_damage(video, chunk, monkeypatch):
    frames = VideoReader.frames

    def broken(self):
        for number, frame in enumerate(frames(self)):
            if number == 7:
                raise VideoError("broken")
            yield frame

    monkeypatch.setattr(VideoReader, "frames", broken)
    monkeypatch.setattr(clip_stream, "CHUNK_FRAMES", chunk)
    got = []
    with pytest.raises(VideoError, match="broken"):
        got.extend(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 1, tail="shift")))
    assert [clip.numbers for clip in got] == [(k, k + 1) for k in range(6)]
    assert not threads()


def test_a_video_that_ends_early_says_so(video):
    reader = VideoReader(cut(video, 0.8))
    with pytest.raises(TruncatedVideoError):
        list(ClipStream(reader=reader, sampler=ClipSampler(2, 2)))
    assert reader.damage
    assert not threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_or_ctrl_c_in_the_loop_ends_the_threads(video, error, small_chunks):
    def use():
        for _ in batched(iter(ClipStream(reader=VideoReader(video), sampler=ClipSampler(2, 2))), 3):
            raise error("enough")

    with pytest.raises(error, match="enough"):
        use()
    assert not threads()


def test_an_event_ends_a_stream_that_waits_for_its_decoder(video, monkeypatch):
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
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StreamStoppedError):
        list(clips)
    took = time.monotonic() - began
    release.set()
    assert took < 2


def test_batches_hold_so_many_items_and_close_their_source():
    closed = []

    def items():
        try:
            yield from range(7)
        finally:
            closed.append(True)

    assert list(batched(items(), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    some = batched(items(), 3)
    next(some)
    some.close()
    assert closed == [True, True]
