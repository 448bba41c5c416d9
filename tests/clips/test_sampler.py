import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from res3d.clips import ClipSampler

small = st.integers(1, 12)
tails = st.sampled_from(["drop", "pad", "shift"])
samplers = st.builds(ClipSampler, small, small, st.integers(1, 5), tails) | st.builds(
    ClipSampler, small, small, st.integers(1, 5), st.just("pad"), st.just("center")
)
frames = st.integers(0, 80)


def naive_indices(s: ClipSampler, n: int) -> list[list[int]]:
    """Return the frame numbers of each clip, computed frame by frame from the definition."""
    span = (s.length - 1) * s.step + 1
    if s.align == "center":
        starts = [k - (s.length // 2) * s.step for k in range(0, n, s.stride)]
    else:
        starts = list(range(0, n, s.stride))
        whole = [k for k in starts if k + span <= n]
        if s.tail == "drop":
            starts = whole
        else:  # up to the first clip that reaches the end
            starts = next((starts[: i + 1] for i, k in enumerate(starts) if k + span >= n), starts)
            if s.tail == "shift" and starts:
                starts[-1] = max(0, n - span)
    return [[min(max(k + j * s.step, 0), n - 1) for j in range(s.length)] for k in starts]


@given(samplers, frames)
def test_indices_follow_the_definition(sampler, n):
    indices = sampler.indices(n)
    assert indices.dtype == np.int64
    assert indices.shape == (sampler.num_clips(n), sampler.length)
    assert indices.tolist() == naive_indices(sampler, n)
    assert sampler.indices(n, first=2).tolist() == naive_indices(sampler, n)[2:]


@given(samplers, frames)
def test_frame_numbers_exist_and_do_not_decrease(sampler, n):
    indices = sampler.indices(n)
    assert ((indices >= 0) & (indices < max(n, 1))).all()
    assert (np.diff(indices, axis=1) >= 0).all()
    assert (np.diff(indices[:, 0]) >= 0).all()


@given(samplers, frames)
def test_uses_is_true_for_the_frames_of_all_clips(sampler, n):
    """``uses`` may return True for frames that only a longer video needs, but never False for a needed one."""
    needed = set(sampler.indices(n).flatten().tolist()) - {n - 1}
    assert all(sampler.uses(frame) for frame in needed)
    if sampler.tail != "shift" and n:
        needed_by_longer = set(sampler.indices(n + 200).flatten().tolist())
        assert all((frame in needed_by_longer) == sampler.uses(frame) for frame in range(n))


@given(st.integers(1, 8), st.integers(0, 7), st.integers(1, 80))
def test_every_frame_is_in_a_clip_with_pad_and_shift(length, overlap, n):
    stride = max(1, length - overlap)
    for tail in ("pad", "shift"):
        covered = set(ClipSampler(length, stride, tail=tail).indices(n).flatten().tolist())
        assert covered == set(range(n))


@given(samplers, st.integers(0, 6), st.integers(0, 60))
def test_a_clip_is_settled_when_the_rest_of_the_video_cannot_change_it(sampler, clip, num_seen):
    rows = [sampler.indices(n)[clip : clip + 1].tolist() for n in range(num_seen, num_seen + 60 + sampler.span)]
    is_constant = bool(rows[0]) and all(row == rows[0] for row in rows)
    first, last = (clip * sampler.stride + sampler.offset + k for k in (0, sampler.span - 1))
    if sampler.is_settled(clip, num_seen):
        assert is_constant
    elif last < num_seen:  # not settled although all its frames exist
        assert not is_constant
    assert sampler.oldest_used(clip, num_seen) <= max(0, first)


@given(samplers, st.integers(0, 6), st.integers(1, 60))
def test_later_clips_do_not_use_frames_before_oldest_used(sampler, clip, num_seen):
    oldest = sampler.oldest_used(clip, num_seen)
    for n in range(num_seen, num_seen + 40):
        assert (sampler.indices(n, first=clip) >= min(oldest, n - 1)).all()


@pytest.mark.parametrize(
    ("sampler", "n", "expected"),
    [
        (ClipSampler(4, 4), 10, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]),
        (ClipSampler(4, 4, tail="drop"), 10, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (ClipSampler(4, 4, tail="shift"), 10, [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]),
        (ClipSampler(4, 10, tail="shift"), 17, [[0, 1, 2, 3], [13, 14, 15, 16]]),
        (ClipSampler(3, 2, 2), 6, [[0, 2, 4], [2, 4, 5]]),
        (ClipSampler(4, 1), 2, [[0, 1, 1, 1]]),
        (ClipSampler(4, 1, tail="shift"), 2, [[0, 1, 1, 1]]),
        (ClipSampler(4, 1, tail="drop"), 2, []),
        (ClipSampler(4, 1, align="center"), 3, [[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 2]]),
        (ClipSampler(3, 1, 2, align="center"), 3, [[0, 0, 2], [0, 1, 2], [0, 2, 2]]),
        (ClipSampler(), 0, []),
    ],
)
def test_examples(sampler, n, expected):
    assert sampler.indices(n).tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "clip length must be a whole number from 1 to 2147483647, not 0"),
        ({"stride": -1}, "clip stride must be a whole number from 1 to 2147483647, not -1"),
        ({"step": 1.5}, "clip step must be a whole number from 1 to 2147483647, not 1.5"),
        ({"length": True}, "clip length must be a whole number from 1 to 2147483647, not True"),
        ({"tail": "loop"}, "tail must be 'drop', 'pad' or 'shift', not 'loop'"),
        ({"align": "end"}, "align must be 'start' or 'center', not 'end'"),
        ({"align": "center", "tail": "drop"}, "tail must be 'pad' with align='center', not 'drop'"),
    ],
)
def test_invalid_fields_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipSampler(**arguments)


def test_a_negative_number_of_frames_is_refused():
    with pytest.raises(ValueError, match="the number of frames must be ≥ 0, not -1"):
        ClipSampler().num_clips(-1)
