import torch
from hypothesis import given
from hypothesis import strategies as st

from res3d.clips import ClipSampler
from res3d.video import ClipAssembler, FramePlace, StreamFrame, stack_clips

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
