import re
import threading

import numpy as np
import pytest
import torch
from helpers.tracks import assert_same
from torch import nn

from res3d.data import SyntheticFrame, SyntheticVideo
from res3d.structures import Category, VideoTracks
from res3d.tracking import stream_video, track_video
from res3d.video import TimedFrame, VideoError, VideoReader


class Oracle(nn.Module):
    """Knows the video: finds the frames of a clip by their pixels and gives their ground truth, in any order."""

    def __init__(self, video: SyntheticVideo, *, junk: bool = True) -> None:
        super().__init__()
        self.frames = list(video)
        self.labels = torch.from_numpy(video.labels)
        self.junk = junk
        self.images = torch.stack([torch.from_numpy(frame.image) for frame in self.frames]).permute(0, 3, 1, 2) / 255
        self.seen: list[list[int]] = []
        self.sizes: list[int] = []
        self.dropout = nn.Dropout()

    def forward(self, clips: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert not self.training
        assert not self.dropout.training
        self.sizes.append(len(clips))
        return [self.find(clip) for clip in clips]

    def find(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        assert clip.dtype == torch.float32
        assert 0 <= clip.min() < clip.max() <= 1
        numbers = [int((self.images - clip[:, t]).abs().mean(dim=(1, 2, 3)).argmin()) for t in range(clip.shape[1])]
        self.seen.append(numbers)
        frames = [self.frames[n] for n in numbers]

        def stack(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(frame, name) for frame in frames], axis=1))

        visible = stack("visible")
        rows = torch.randperm(len(visible))
        rows = rows[visible.any(dim=1)[rows]]
        scores = torch.full((len(rows),), 0.9)
        if self.junk:  # as a detector's long tail: the same again, at a score that counts for nothing
            rows, scores = rows.repeat(2), torch.cat([scores, scores * 0.05])
        return {
            "boxes": stack("boxes")[rows],
            "visible": visible[rows].float(),
            "scores": scores,
            "labels": self.labels[rows],
            "masks": stack("masks")[rows, :, None].float(),
            "keypoints": stack("keypoints")[rows],
            "keypoints_scores": torch.ones(len(rows), len(frames), 5),
            "embeddings": torch.ones(len(rows), 4),
        }


@pytest.fixture(scope="module")
def scene() -> SyntheticVideo:
    return SyntheticVideo(num_frames=43, size=(96, 128), num_objects=3, seed=2)


@pytest.fixture
def video(scene, tmp_path):
    scene.write(tmp_path / "scene.mp4")
    return tmp_path / "scene.mp4"


def check(found: VideoTracks, truth: list[SyntheticFrame], labels: np.ndarray) -> None:
    """Every visible object has its box, mask and keypoints, under one id."""
    ids = np.zeros((len(truth), len(labels)), int)
    for n in range(len(labels)):
        for track in found.tracks:
            for row, frame in enumerate(track.frames):
                if track.label == labels[n] and np.allclose(track.boxes[row], truth[frame].boxes[n], atol=1e-3):
                    ids[frame, n] = track.id
                    assert np.array_equal(track.masks[row].decode(), truth[frame].masks[n])
                    known = truth[frame].keypoints[n, :, 2] > 0
                    assert np.allclose(track.keypoints[row][known], truth[frame].keypoints[n][known], atol=1e-3)
    visible = np.stack([frame.visible for frame in truth])
    assert np.array_equal(ids > 0, visible)
    assert all(len(np.unique(ids[visible[:, n], n])) == 1 for n in range(len(labels)))
    assert sum(len(track) for track in found.tracks) == visible.sum()


@pytest.mark.parametrize(
    ("clip_length", "clip_stride", "batch_size"), [(8, 4, 1), (8, 4, 3), (5, 2, 2), (1, 1, 4), (64, 32, 1)]
)
def test_what_the_model_sees_becomes_tracks(scene, video, clip_length, clip_stride, batch_size):
    model = Oracle(scene)
    read = []
    found = track_video(
        video,
        model.train(),
        clip_length=clip_length,
        clip_stride=clip_stride,
        batch_size=batch_size,
        progress=read.append,
        min_length=1,
    )
    assert (found.num_frames, found.fps, found.size, found.name) == (43, 25, (96, 128), "scene")
    assert sum(read) == 43
    assert model.training
    assert model.dropout.training
    check(found, list(scene), scene.labels)
    assert max(model.sizes) <= batch_size


def test_clips_overlap_and_the_last_ends_with_the_video(scene, video):
    model = Oracle(scene)
    track_video(video, model)
    assert [clip[0] for clip in model.seen] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 35]
    assert all(np.array_equal(clip, np.arange(clip[0], clip[0] + 8)) for clip in model.seen)


def test_a_video_shorter_than_a_clip_is_padded_for_the_model_and_not_in_the_result(scene, video):
    model = Oracle(scene)
    found = track_video(VideoReader(video, end=0.2), model)
    assert model.seen == [[0, 1, 2, 3, 4, 4, 4, 4]]
    assert found.num_frames == 5
    check(found, list(scene)[:5], scene.labels)


def test_a_single_frame_is_a_video_too(scene, video):
    found = track_video(VideoReader(video, end=0.03), Oracle(scene), min_length=1)
    assert found.num_frames == 1
    check(found, list(scene)[:1], scene.labels)


def test_a_stream_is_the_same_frame_by_frame(scene, video):
    streamed = VideoTracks.from_frames(stream_video(VideoReader(video), Oracle(scene)))
    whole = track_video(video, Oracle(scene), categories={1: Category(name="disc")})
    assert whole.categories[1].name == "disc"
    assert_same(streamed, whole, without=("name", "fps", "size", "categories"))


def test_frames_are_made_in_other_threads_which_end_with_the_stream(scene, video, monkeypatch):
    makers = set()
    rgb = TimedFrame.rgb
    monkeypatch.setattr(TimedFrame, "rgb", lambda self: makers.add(threading.current_thread()) or rgb(self))
    stream = stream_video(VideoReader(video), Oracle(scene))
    next(stream)
    stream.close()
    assert makers
    assert threading.main_thread() not in makers
    assert not [t for t in threading.enumerate() if t.name.startswith("res3d")]


def test_any_callable_is_a_detector(scene, video):
    assert len(track_video(video, Oracle(scene).eval().forward, max_tracks=2)) == 2


def test_a_model_that_finds_nothing(video):
    def blind(clips):
        return [
            {"boxes": torch.zeros(0, 8, 4), "visible": torch.zeros(0, 8), "scores": [], "labels": []} for _ in clips
        ]

    found = track_video(video, blind)
    assert (len(found), found.num_frames) == (0, 43)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip_stride": 8}, "clips must overlap: clip_stride must be below 8, the length, not 8"),
        ({"clip_length": 1}, "clips of one frame are linked frame by frame: clip_stride must be 1, not 4"),
        ({"clip_length": 0}, "clip length must be a whole number from 1"),
        ({"batch_size": 0}, "batch_size must be ≥ 1, not 0"),
        ({"max_lots": 3}, "unknown setting 'max_lots'; did you mean 'max_lost'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(scene, video, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        stream_video(VideoReader(video), Oracle(scene), **arguments)


def test_wrong_results_and_files_are_refused(video, tmp_path):
    with pytest.raises(ValueError, match="the model gave 2 results for 1 clips"):
        track_video(video, lambda clips: [{}, {}])
    with pytest.raises(ValueError, match="a clip's detections lack boxes, scores, visible, labels"):
        track_video(video, lambda clips: [{} for _ in clips])
    with pytest.raises(FileNotFoundError, match="no such file"):
        track_video(tmp_path / "none.mp4", lambda clips: [])
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VideoError, match="not a video"):
        track_video(tmp_path / "text.mp4", lambda clips: [])
