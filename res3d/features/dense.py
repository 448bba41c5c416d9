"""Windows of one dense feature map of a whole video, which is computed segment by segment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from res3d.backbone import BackboneSpec, TemporalReach, averages_time, count_positions, temporal_reach
from res3d.clips import ClipSampler
from res3d.video import Clip, StreamFrame, stack_clips

MIN_CORE = 4  # least ratio of the frames of a segment to those that it overlaps others by: at most 25 % more work


@dataclass(frozen=True, kw_only=True, slots=True)
class MapGrid:
    """Temporal positions of the feature map of a layer, computed over a whole video.

    Positions and reach are counted in the frames that the network sees: every ``sampler.step``-th frame of the video.

    Raises:
        ValueError: the clips do not start at positions of the map, or the layer depends on averages over a whole clip,
            so that the map of a longer clip is a different function.
    """

    spec: BackboneSpec
    layer: str
    sampler: ClipSampler

    def __post_init__(self) -> None:
        if averages_time(self.spec, self.layer):
            raise ValueError(
                f"context='video': {self.spec.name} averages over all frames of a clip (group norm, squeeze-excitation)"
            )
        spacing = self.stride * self.sampler.step
        fact = f"the map of {self.layer} has a position every {spacing} frames"
        if self.sampler.stride % spacing:
            raise ValueError(
                f"context='video': {fact}, so the clip stride must be a multiple of it, not {self.sampler.stride}"
            )
        if self.sampler.tail == "shift" and spacing > 1:
            raise ValueError(f"context='video': {fact}, and tail='shift' moves the last clip off them")

    @property
    def stride(self) -> int:
        """Frames from one position to the next."""
        return self.spec.feature_info[self.layer].stride[0]

    @property
    def reach(self) -> TemporalReach:
        """Frames that a position depends on. ``before`` is rounded up so that segments start at positions."""
        before, after = temporal_reach(self.spec, self.layer)
        return TemporalReach(-(-before // self.stride) * self.stride, after)

    def positions(self, frames: int) -> int:
        """Return the number of positions of the map of so many frames."""
        return count_positions(self.spec, self.layer, frames)

    def contains(self, frame: int) -> bool:
        """Return whether the network sees frame number ``frame`` of the video."""
        return (frame - self.sampler.offset) % self.sampler.step == 0


class DenseWindows:
    """Takes the frames of a video one by one and yields clips with their windows of the feature map of the video.

    The network sees the frames that the clips of the sampler consist of: every ``step``-th frame, and the border frames
    that padding repeats. It runs on segments of the video. Neighbouring segments overlap by the temporal reach of a
    position, so that the result is the map of the whole video. The memory is that of the frames of one segment and of
    the map of one segment and one window.

    Args:
        grid: positions of the map.
        run: the network: [1, C, T, H, W] -> [1, C', T', h, w].
        core: approximate number of frames per segment, without the overlap.
        batch: most clips that are yielded at once.
    """

    def __init__(self, grid: MapGrid, run: Callable[[Tensor], Tensor], *, core: int, batch: int) -> None:
        self._grid = grid
        self._run = run
        self._batch = batch
        stride, reach = grid.stride, grid.reach
        self._core = -(-max(core, MIN_CORE * (reach.before + reach.after), 1) // stride) * stride
        self._frames: list[StreamFrame] = []  # of the next segment, from number _first on
        self._first = 0
        self._next_core = 0  # number of the first frame whose position has not been computed
        self._map: list[Tensor] = []  # [C', h, w] of positions, from number _first_position on
        self._first_position = 0
        self._clip_frames: list[StreamFrame] = []  # for the clips, without values; from number _first_clip_frame on
        self._first_clip_frame = 0
        self._next_clip = 0
        self._num_frames = 0  # frames of the video so far
        self._last: StreamFrame | None = None

    def push(self, frame: StreamFrame) -> Iterator[tuple[list[Clip], Tensor]]:
        """Add the next frame of the video; yield the clips that it completes, with windows [clips, C', T', h, w]."""
        sampler = self._grid.sampler
        if self._last is None:
            for _ in range(-sampler.offset // sampler.step):
                self._append(frame)
        self._last = frame
        if self._grid.contains(self._num_frames):
            self._append(frame)
        self._num_frames += 1
        if self._first + len(self._frames) >= self._next_core + self._core + self._grid.reach.after:
            self._extend(self._core // self._grid.stride)
            yield from self._clips(None)

    def finish(self) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield the last clips of the video, by the ``tail`` of the sampler."""
        sampler = self._grid.sampler
        starts = self._starts()
        if self._last is None or not starts:
            return
        while self._first + len(self._frames) < starts[-1] + sampler.length:
            self._append(self._last)
        self._extend(None)
        yield from self._clips(starts)

    def _append(self, frame: StreamFrame) -> None:
        self._frames.append(frame)
        self._clip_frames.append(StreamFrame(place=frame.place, values=None))

    def _starts(self) -> list[int]:
        """Return the number of the first frame of each clip of the whole video."""
        sampler = self._grid.sampler
        return [int(start - sampler.offset) // sampler.step for start in sampler.starts(self._num_frames)]

    def _extend(self, count: int | None) -> None:
        """Compute the next ``count`` positions of the map; None computes all that are left."""
        if self._grid.positions(len(self._frames)) > 0:
            stride = self._grid.stride
            positions = self._run(stack_clips([Clip(frames=tuple(self._frames))]))[0].unbind(1)
            overlap = (self._next_core - self._first) // stride
            self._map += positions[overlap:] if count is None else positions[overlap : overlap + count]
            self._next_core += self._core
        first = max(self._first, self._next_core - self._grid.reach.before)
        del self._frames[: first - self._first]
        self._first = first

    def _clips(self, starts: list[int] | None) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield the clips whose windows are complete: all of ``starts``, or None before the end of the video."""
        sampler, stride = self._grid.sampler, self._grid.stride
        length = self._grid.positions(sampler.length)
        clips: list[Clip] = []
        windows: list[Tensor] = []
        while starts is None or self._next_clip < len(starts):
            start = self._next_clip * sampler.stride // sampler.step if starts is None else starts[self._next_clip]
            first = start // stride - self._first_position
            settled = starts is not None or sampler.is_settled(self._next_clip, self._num_frames)
            if first + length > len(self._map) or not settled:
                break
            index = start - self._first_clip_frame
            clips.append(Clip(frames=tuple(islice(self._clip_frames, index, index + sampler.length))))
            windows.append(torch.stack(self._map[first : first + length], dim=1))
            self._next_clip += 1
            if len(clips) == self._batch:
                yield clips, torch.stack(windows)
                clips, windows = [], []
        self._drop_old()
        if clips:
            yield clips, torch.stack(windows)

    def _drop_old(self) -> None:
        """Drop positions and frames that no later clip needs."""
        sampler, stride = self._grid.sampler, self._grid.stride
        start = (sampler.oldest_used(self._next_clip, self._num_frames) - sampler.offset) // sampler.step
        drop = max(0, min(start // stride - self._first_position, len(self._map)))
        del self._map[:drop]
        self._first_position += drop
        drop = max(0, min(start - self._first_clip_frame, len(self._clip_frames)))
        del self._clip_frames[:drop]
        self._first_clip_frame += drop
