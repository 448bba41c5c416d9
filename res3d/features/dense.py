"""Windows of one dense map of a whole video, made a stretch at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from res3d.backbone import BackboneSpec, TemporalReach, averages_time, count_positions, temporal_reach
from res3d.clips import ClipSampler
from res3d.video import Clip, StreamFrame, stack_clips

MIN_CORE = 4  # a stretch makes at least this many times the frames that it looks at beyond its ends: ≤ 25 % more work


@dataclass(frozen=True, kw_only=True, slots=True)
class MapGrid:
    """Where the positions of a layer's map of a whole video stand, counted in the frames that clips are made of.

    Raises:
        ValueError: clips whose windows do not fall on the map's positions, or a layer that depends on averages over a
            whole clip, whose map of a longer one means something else.
    """

    spec: BackboneSpec
    layer: str
    sampler: ClipSampler

    def __post_init__(self) -> None:
        if averages_time(self.spec, self.layer):
            raise ValueError(
                f"context='video': {self.spec.name} averages over all frames of a clip (group norm, squeeze-excitation)"
            )
        places = self.stride * self.sampler.step
        what = f"the map of {self.layer} has a position every {places} frames"
        if self.sampler.stride % places:
            raise ValueError(
                f"context='video': {what}, so clips must start at multiples of that, not every {self.sampler.stride}"
            )
        if self.sampler.tail == "shift" and places > 1:
            raise ValueError(f"context='video': {what}, and tail='shift' moves the last clip off them")

    @property
    def stride(self) -> int:
        """Frames from one position to the next."""
        return self.spec.feature_info[self.layer].stride[0]

    @property
    def reach(self) -> TemporalReach:
        """Frames that a position depends on; ahead rounded up, so that stretches start at positions."""
        before, after = temporal_reach(self.spec, self.layer)
        return TemporalReach(-(-before // self.stride) * self.stride, after)

    def positions(self, frames: int) -> int:
        """Of the map of so many frames."""
        return count_positions(self.spec, self.layer, frames)

    def holds(self, frame: int) -> bool:
        """Whether frame number ``frame`` of the video is one of those that the map is made of."""
        return (frame - self.sampler.offset) % self.sampler.step == 0


class DenseWindows:
    """Takes the frames of a video one by one and gives clips with their windows of the video's map.

    Frames are those that the sampler's clips are made of: every ``step``-th, with the border frames that padding
    repeats. The network runs on stretches that overlap by what positions look at beyond their ends, so that the map is
    the one of the whole video. Holds the frames of a stretch and the map of a stretch and a window.

    Args:
        grid: where positions stand.
        run: the network: [1, C, T, H, W] -> [1, C', T', h, w].
        core: frames whose positions a stretch makes, about.
        batch: clips that are given together, at most.
    """

    def __init__(self, grid: MapGrid, run: Callable[[Tensor], Tensor], *, core: int, batch: int) -> None:
        self._grid = grid
        self._run = run
        self._batch = batch
        stride, reach = grid.stride, grid.reach
        self._core = -(-max(core, MIN_CORE * (reach.before + reach.after), 1) // stride) * stride
        self._frames: list[StreamFrame] = []  # of the stretch to come, from number _first on
        self._first = 0
        self._next_core = 0  # number of the first frame whose position has not been made
        self._map: list[Tensor] = []  # [C', h, w] of positions, from number _first_position on
        self._first_position = 0
        self._places: list[StreamFrame] = []  # without values, of frames from number _first_place on
        self._first_place = 0
        self._next_clip = 0
        self._seen = 0  # frames of the video
        self._last: StreamFrame | None = None

    def push(self, frame: StreamFrame) -> Iterator[tuple[list[Clip], Tensor]]:
        """Add the video's next frame; gives the clips, with windows [clips, C', T', h, w], that it completes."""
        sampler = self._grid.sampler
        if self._last is None:
            for _ in range(-sampler.offset // sampler.step):
                self._append(frame)
        self._last = frame
        if self._grid.holds(self._seen):
            self._append(frame)
        self._seen += 1
        if self._first + len(self._frames) >= self._next_core + self._core + self._grid.reach.after:
            self._extend(self._core // self._grid.stride)
            yield from self._clips(None)

    def finish(self) -> Iterator[tuple[list[Clip], Tensor]]:
        """The clips at the end of the video, by the sampler's tail policy."""
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
        self._places.append(StreamFrame(place=frame.place, values=None))

    def _starts(self) -> list[int]:
        """Numbers of the first frames of the clips of the whole video."""
        sampler = self._grid.sampler
        return [int(start - sampler.offset) // sampler.step for start in sampler.starts(self._seen)]

    def _extend(self, count: int | None) -> None:
        """Make the next ``count`` positions; None makes all that are left."""
        if self._grid.positions(len(self._frames)) > 0:
            stride = self._grid.stride
            made = self._run(stack_clips([Clip(frames=tuple(self._frames))]))[0].unbind(1)
            skipped = (self._next_core - self._first) // stride
            self._map += made[skipped:] if count is None else made[skipped : skipped + count]
            self._next_core += self._core
        keep_from = max(self._first, self._next_core - self._grid.reach.before)
        del self._frames[: keep_from - self._first]
        self._first = keep_from

    def _clips(self, starts: list[int] | None) -> Iterator[tuple[list[Clip], Tensor]]:
        """Clips whose windows are there: all of ``starts``, or while the video's end is not known."""
        sampler, stride = self._grid.sampler, self._grid.stride
        length = self._grid.positions(sampler.length)
        clips: list[Clip] = []
        windows: list[Tensor] = []
        while starts is None or self._next_clip < len(starts):
            start = self._next_clip * sampler.stride // sampler.step if starts is None else starts[self._next_clip]
            first = start // stride - self._first_position
            settled = starts is not None or sampler.is_settled(self._next_clip, self._seen)
            if first + length > len(self._map) or not settled:
                break
            place = start - self._first_place
            clips.append(Clip(frames=tuple(islice(self._places, place, place + sampler.length))))
            windows.append(torch.stack(self._map[first : first + length], dim=1))
            self._next_clip += 1
            if len(clips) == self._batch:
                yield clips, torch.stack(windows)
                clips, windows = [], []
        self._forget()
        if clips:
            yield clips, torch.stack(windows)

    def _forget(self) -> None:
        sampler, stride = self._grid.sampler, self._grid.stride
        start = (sampler.oldest_used(self._next_clip, self._seen) - sampler.offset) // sampler.step
        drop = max(0, min(start // stride - self._first_position, len(self._map)))
        del self._map[:drop]
        self._first_position += drop
        drop = max(0, min(start - self._first_place, len(self._places)))
        del self._places[:drop]
        self._first_place += drop
