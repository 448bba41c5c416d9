"""Receptive fields of a spec's maps in time: which stages see single frames, and which frames a position depends on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from res3d.backbone.convs import ONE
from res3d.backbone.spec import BackboneSpec, StageSpec, check_stage
from res3d.backbone.windows import Window


class TemporalReach(NamedTuple):
    """Temporal receptive field of one position of a map: so many frames before its own, and after it."""

    before: int
    after: int


def frame_wise_stages(spec: BackboneSpec) -> tuple[str, ...]:
    """The leading stages in which a frame's features depend on nothing but that frame (in eval mode).

    There every kernel, stride and pool is 1 in time, and nothing averages over frames.
    """
    names: list[str] = []
    if spec.norm.kind == "group":
        return ()
    for name, paths in _stage_paths(spec):
        stage = spec.stages[spec.stage_names.index(name) - 1] if name != "stem" else None
        looks = any(w.kernel[0] > 1 or w.stride[0] > 1 for block in paths for path in block for w in path)
        if looks or (stage and _averages(stage)):
            break
        names.append(name)
    return tuple(names)


def averages_time(spec: BackboneSpec, stage: str) -> bool:
    """True if a map up to ``stage`` depends on averages over all frames of a clip (group norm, squeeze-excitation)."""
    check_stage("stage", stage, spec.stage_names)
    return spec.norm.kind == "group" or any(map(_averages, spec.stages[: spec.stage_names.index(stage)]))


def temporal_reach(spec: BackboneSpec, stage: str) -> TemporalReach:
    """Frames before and after its own that one position of the map of ``stage`` depends on.

    Position i is at frame i times the map's temporal stride. Where all these frames lie inside a clip, borders and
    their padding play no part.
    """
    check_stage("stage", stage, spec.stage_names)
    before = after = 0
    jump = 1
    for name, paths in _stage_paths(spec):
        for block in paths:
            reaches = [_path_reach(path, jump) for path in block]
            before += max(b for b, _, _ in reaches)
            after += max(a for _, a, _ in reaches)
            jump = reaches[0][2]
        if name == stage:
            break
    return TemporalReach(before, after)


def count_positions(spec: BackboneSpec, stage: str, frames: int) -> int:
    """T' of the map of ``stage`` for clips of so many frames; 0 where the clip is too short for it."""
    check_stage("stage", stage, spec.stage_names)
    size = frames
    for name, paths in _stage_paths(spec):
        for block in paths:
            for window in block[0]:
                size = max(0, window.output_frames(size))
        if name == stage:
            break
    return size


_Paths = tuple[list[Window], ...]  # the main path first, then what goes around it


def _stage_paths(spec: BackboneSpec) -> Iterator[tuple[str, list[_Paths]]]:
    """For each stage, in order, the paths through its layers and blocks."""
    yield "stem", [([spec.stem.conv.window(spec.stem.stride)],)]
    channels = spec.stem.width
    for name, stage in zip(spec.stage_names[1:], spec.stages, strict=True):
        paths: list[_Paths] = [([stage.pool.window()],)] if stage.pool else []
        for block, stride in stage.steps():
            branch = [
                conv.window(stride if index == block.strided_index else ONE) for index, conv in enumerate(block.convs)
            ]
            shortcut = block.plan_shortcut(channels, stage.width, stride)
            around = [Window(shortcut.kernel, shortcut.stride, shortcut.padding)] if shortcut else []
            paths.append((branch, around) if block.is_residual else (branch,))
            channels = stage.out_channels
        yield name, paths


def _path_reach(path: Iterable[Window], jump: int) -> tuple[int, int, int]:
    """Frames before, frames after, and the frames from one position to the next behind ``path``."""
    before = after = 0
    for window in path:
        width = (window.kernel[0] - 1) * window.dilation[0]
        before += window.padding[0] * jump
        after += (width - window.padding[0]) * jump
        jump *= window.stride[0]
    return before, after, jump


def _averages(stage: StageSpec) -> bool:
    return any(block.attention != "none" for block in stage.blocks)
