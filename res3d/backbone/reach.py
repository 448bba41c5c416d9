"""Temporal receptive fields: frame-wise stages, and the frames that one position of a feature map depends on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from res3d.backbone.convs import ONE
from res3d.backbone.spec import BackboneSpec, StageSpec, check_stage
from res3d.backbone.windows import Window


class TemporalReach(NamedTuple):
    """Temporal receptive field of one position of a feature map, relative to the position's own frame."""

    before: int
    """Frames before its own."""
    after: int
    """Frames after its own."""


def frame_wise_stages(spec: BackboneSpec) -> tuple[str, ...]:
    """Return the leading stages in which, in eval mode, each frame's features depend on that frame alone.

    In these stages every kernel, stride and pool is 1 in time, and no layer averages over frames.
    """
    names: list[str] = []
    if spec.norm.kind == "group":
        return ()
    for name, paths in _stage_paths(spec):
        stage = spec.stages[spec.stage_names.index(name) - 1] if name != "stem" else None
        is_temporal = any(w.kernel[0] > 1 or w.stride[0] > 1 for block in paths for path in block for w in path)
        if is_temporal or (stage and _averages_time(stage)):
            break
        names.append(name)
    return tuple(names)


def averages_time(spec: BackboneSpec, stage: str) -> bool:
    """Return True if the map of ``stage`` depends on averages over all frames of a clip.

    Group norm and squeeze-and-excitation compute such averages.

    Raises:
        ValueError: a stage that the spec does not have.
    """
    check_stage("stage", stage, spec.stage_names)
    return spec.norm.kind == "group" or any(map(_averages_time, spec.stages[: spec.stage_names.index(stage)]))


def temporal_reach(spec: BackboneSpec, stage: str) -> TemporalReach:
    """Return the numbers of frames before and after its own that one position of the map of ``stage`` depends on.

    The frame of position i is i times the map's temporal stride. A position whose receptive field lies inside the clip
    does not depend on padding.

    Raises:
        ValueError: a stage that the spec does not have.
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
    """Return T', the positions in time, of the map of ``stage`` for clips of ``frames`` frames; 0 if that is too short.

    Raises:
        ValueError: a stage that the spec does not have.
    """
    check_stage("stage", stage, spec.stage_names)
    size = frames
    for name, paths in _stage_paths(spec):
        for block in paths:
            for window in block[0]:
                size = max(0, window.output_frames(size))
        if name == stage:
            break
    return size


_Paths = tuple[list[Window], ...]  # of a layer or a block: its main path, then its shortcut if it has one


def _stage_paths(spec: BackboneSpec) -> Iterator[tuple[str, list[_Paths]]]:
    """Yield the name of each stage, in order, and the paths through each of its pools and blocks."""
    yield "stem", [([spec.stem.conv.window(spec.stem.stride)],)]
    channels = spec.stem.width
    for name, stage in zip(spec.stage_names[1:], spec.stages, strict=True):
        paths: list[_Paths] = [([stage.pool.window()],)] if stage.pool else []
        for block, stride in stage.steps():
            branch = [
                conv.window(stride if index == block.strided_index else ONE) for index, conv in enumerate(block.convs)
            ]
            shortcut = block.plan_shortcut(channels, stage.width, stride)
            bypass = [Window(shortcut.kernel, shortcut.stride, shortcut.padding)] if shortcut else []
            paths.append((branch, bypass) if block.is_residual else (branch,))
            channels = stage.out_channels
        yield name, paths


def _path_reach(path: Iterable[Window], jump: int) -> tuple[int, int, int]:
    """Return the frames before, the frames after, and the temporal stride, in frames, of a position behind ``path``.

    ``jump`` is the temporal stride in front of the path.
    """
    before = after = 0
    for window in path:
        width = (window.kernel[0] - 1) * window.dilation[0]
        before += window.padding[0] * jump
        after += (width - window.padding[0]) * jump
        jump *= window.stride[0]
    return before, after, jump


def _averages_time(stage: StageSpec) -> bool:
    return any(block.attention != "none" for block in stage.blocks)
