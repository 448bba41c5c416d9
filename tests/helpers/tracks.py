"""Tracks for tests: random tracks with all fields, and an assertion that two videos are equal."""

from dataclasses import fields

import numpy as np

from res3d.structures import Category, Rle, Track, VideoTracks

FLY = Category(name="fly", keypoints=("head", "thorax", "abdomen"), skeleton=((0, 1), (1, 2)))


def track_of(identity: int, frames, boxes, *, label: int = 1, scores=None, **more) -> Track:
    """Create a track from lists; scores are 1 by default."""
    scores = np.ones(len(frames)) if scores is None else scores
    return Track(
        id=identity,
        label=label,
        frames=np.asarray(frames, np.int64),
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        scores=np.asarray(scores, np.float32),
        **more,
    )


def random_track(rng: np.random.Generator, identity: int, num_frames: int, *, poses: bool, masks: bool) -> Track:
    """Return a track in about 70% of the frames, with optional keypoints and masks; its second mask is None."""
    frames = np.flatnonzero(rng.random(num_frames) < 0.7)
    corner = rng.uniform(-20, 1500, (len(frames), 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + rng.uniform(0, 300, corner.shape).astype(np.float32)], axis=1)
    more = {}
    if poses:
        points = rng.uniform(0, 900, (len(frames), 3, 3)).astype(np.float32)
        points[..., 2] = rng.integers(0, 3, points.shape[:2])
        more = {"keypoints": points, "keypoints_scores": rng.normal(0, 9, points.shape[:2]).astype(np.float32)}
    if masks:
        shapes = [rng.random((12, 17)) < 0.4 for _ in frames]
        more["masks"] = tuple(None if n == 1 else Rle.encode(shape) for n, shape in enumerate(shapes))
    scores = rng.random(len(frames)).astype(np.float32)
    return track_of(identity, frames, boxes, scores=scores, label=1 if poses else 2, **more)


def random_video(seed: int = 0, *, name: str = "flies", poses: bool = True, masks: bool = True) -> VideoTracks:
    """Return a video of 31 frames with the tracks 1, 3 and 7; track 7 has no keypoints."""
    rng = np.random.default_rng(seed)
    tracks = [random_track(rng, i, 30, poses=poses and i != 7, masks=masks) for i in (3, 1, 7)]
    return VideoTracks(
        tracks=tuple(tracks),
        num_frames=31,
        name=name,
        fps=29.97,
        size=(12, 17),
        categories={1: FLY, 2: Category(name="drop of ünïcode")},
    )


def posed_video(*, masks: bool = True) -> VideoTracks:
    """Return the tracks of ``random_video`` that have keypoints."""
    video = random_video(masks=masks)
    return video.renamed(tracks=video.tracks[:2])


def assert_same(a: VideoTracks, b: VideoTracks, *, without: tuple[str, ...] = ()) -> None:
    """Assert that two videos are equal, bit for bit, in every field except ``without``."""
    for field in fields(VideoTracks):
        if field.name not in ("tracks", *without):
            one, other = getattr(a, field.name), getattr(b, field.name)
            assert one == other if not isinstance(one, np.ndarray) else np.array_equal(one, other), field.name
    assert [t.id for t in a.tracks] == [t.id for t in b.tracks]
    for one, other in zip(a.tracks, b.tracks, strict=True):
        for field in fields(Track):
            if field.name in without:
                continue
            x, y = getattr(one, field.name), getattr(other, field.name)
            if isinstance(x, np.ndarray):
                assert x.dtype == y.dtype, field.name
                assert np.array_equal(x, y), f"track {one.id}: {field.name}"
            else:
                assert x == y, f"track {one.id}: {field.name}"
