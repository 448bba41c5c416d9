import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tracks import assert_same
from helpers.videos import encode
from torch import nn

from res3d.data import SyntheticFrame, SyntheticVideo
from res3d.structures import Category, VideoTracks
from res3d.tracking import stream_video, track_video
from res3d.video import TimedFrame, VideoError, VideoReader


class Scene:
    """A synthetic video: its frames with their ground truth, and its file."""

    def __init__(self, folder: Path) -> None:
        synthetic = SyntheticVideo(num_frames=43, size=(48, 64), num_objects=3, seed=6)
        self.frames, self.labels = list(synthetic), synthetic.labels
        self.images = torch.stack([torch.from_numpy(frame.image) for frame in self.frames]).permute(0, 3, 1, 2) / 255
        self.path = folder / "scene.mp4"
        synthetic.write(self.path)


class Oracle(nn.Module):
    """Detector that recognizes the frames of a clip by their pixels and returns their ground truth in random order.

    Every detection comes again with a score that is too low for linking, like the false positives of a real detector.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene
        self.clips: list[list[int]] = []  # frame numbers
        self.batch_sizes: list[int] = []
        self.dropout = nn.Dropout()

    def forward(self, clips: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert not self.training
        assert not self.dropout.training
        self.batch_sizes.append(len(clips))
        return [self.detect_clip(clip) for clip in clips]

    def detect_clip(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        assert clip.dtype == torch.float32
        assert 0 <= clip.min() < clip.max() <= 1
        images = self.scene.images
        numbers = [int((images - clip[:, t]).abs().mean(dim=(1, 2, 3)).argmin()) for t in range(clip.shape[1])]
        self.clips.append(numbers)
        frames = [self.scene.frames[n] for n in numbers]

        def stack(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(frame, name) for frame in frames], axis=1))

        visible = stack("visible")
        rows = torch.randperm(len(visible))
        rows = rows[visible.any(dim=1)[rows]]
        scores = torch.full((len(rows),), 0.9)
        rows, scores = rows.repeat(2), torch.cat([scores, scores * 0.05])
        return {
            "boxes": stack("boxes")[rows],
            "visible": visible[rows].float(),
            "scores": scores,
            "labels": torch.from_numpy(self.scene.labels)[rows],
            "masks": stack("masks")[rows, :, None].float(),
            "keypoints": stack("keypoints")[rows],
            "keypoints_scores": torch.ones(len(rows), len(frames), 5),
            "embeddings": torch.ones(len(rows), 4),
        }


def detect_nothing(clips: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    return [
        {
            "boxes": torch.zeros(0, clip.shape[1], 4),
            "visible": torch.zeros(0, clip.shape[1]),
            "scores": torch.zeros(0),
            "labels": torch.zeros(0, dtype=torch.int64),
        }
        for clip in clips
    ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene_video(scene) -> Path:
    return scene.path


def assert_tracks_equal_truth(tracks: VideoTracks, truth: list[SyntheticFrame], labels: np.ndarray) -> None:
    """Every visible object has its box, mask and keypoints, under one id."""
    ids = np.zeros((len(truth), len(labels)), int)
    for n in range(len(labels)):
        for track in tracks.tracks:
            for row, frame in enumerate(track.frames):
                if track.label == labels[n] and np.allclose(track.boxes[row], truth[frame].boxes[n], atol=1e-3):
                    ids[frame, n] = track.id
                    assert np.array_equal(track.masks[row].decode(), truth[frame].masks[n])
                    keypoints = truth[frame].keypoints[n]
                    is_labelled = keypoints[:, 2] > 0
                    assert np.allclose(track.keypoints[row][is_labelled], keypoints[is_labelled], atol=1e-3)
    visible = np.stack([frame.visible for frame in truth])
    assert np.array_equal(ids > 0, visible)
    assert all(len(np.unique(ids[visible[:, n], n])) == 1 for n in range(len(labels)))
    assert sum(len(track) for track in tracks.tracks) == visible.sum()


@pytest.mark.parametrize(
    ("clip_length", "clip_stride", "batch_size"), [(8, 4, 1), (8, 4, 3), (5, 2, 2), (1, 1, 4), (64, 32, 1)]
)
def test_detections_of_a_model_become_tracks(scene, scene_video, clip_length, clip_stride, batch_size):
    model = Oracle(scene)
    frames_read = []
    tracks = track_video(
        scene_video,
        model.train(),
        clip_length=clip_length,
        clip_stride=clip_stride,
        batch_size=batch_size,
        progress=frames_read.append,
        min_length=1,
    )
    assert (tracks.num_frames, tracks.fps, tracks.size, tracks.name) == (43, 25, (48, 64), "scene")
    assert sum(frames_read) == 43
    assert model.training
    assert model.dropout.training
    assert_tracks_equal_truth(tracks, scene.frames, scene.labels)
    assert max(model.batch_sizes) <= batch_size


@pytest.mark.parametrize(("clip_length", "clip_stride", "batch_size"), [(4, 2, 2), (1, 1, 1), (8, 4, 1)])
def test_clips_are_the_rgb_frames_divided_by_255_in_float32(tmp_path, clip_length, clip_stride, batch_size):
    """A lossless video, in which every channel has all 256 values in every frame."""
    rng = np.random.default_rng(0)
    channels = [[rng.permutation(256).reshape(16, 16) for _ in range(3)] for _ in range(6)]
    images = list(np.stack([np.stack(frame, axis=-1) for frame in channels]).astype(np.uint8))
    encode(tmp_path / "lossless.mkv", images, codec="ffv1", pixel_format="bgr0")
    clips = []

    def detect(batch: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        clips.extend(batch)
        return detect_nothing(batch)

    track_video(
        tmp_path / "lossless.mkv", detect, clip_length=clip_length, clip_stride=clip_stride, batch_size=batch_size
    )
    frames = np.stack(images).astype(np.float32) / np.float32(255)
    if clip_length > len(images):
        expected = [np.concatenate([frames, frames[[-1] * (clip_length - len(images))]])]
    else:
        expected = [frames[s : s + clip_length] for s in range(0, len(images) - clip_length + 1, clip_stride)]
    assert [clip.dtype for clip in clips] == [torch.float32] * len(expected)
    for clip, values in zip(clips, expected, strict=True):
        assert clip.min() == 0
        assert clip.max() == 1
        assert np.array_equal(clip.numpy(), values.transpose(3, 0, 1, 2))


def test_clips_overlap_and_the_last_clip_ends_with_the_video(scene, scene_video):
    model = Oracle(scene)
    track_video(scene_video, model)
    assert [clip[0] for clip in model.clips] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 35]
    assert all(np.array_equal(clip, np.arange(clip[0], clip[0] + 8)) for clip in model.clips)


def test_a_video_shorter_than_a_clip_is_padded_for_the_model_but_not_in_the_result(scene, scene_video):
    model = Oracle(scene)
    tracks = track_video(VideoReader(scene_video, end=0.2), model)
    assert model.clips == [[0, 1, 2, 3, 4, 4, 4, 4]]
    assert tracks.num_frames == 5
    assert_tracks_equal_truth(tracks, scene.frames[:5], scene.labels)


def test_a_video_of_one_frame_can_be_tracked(scene, scene_video):
    tracks = track_video(VideoReader(scene_video, end=0.03), Oracle(scene), min_length=1)
    assert tracks.num_frames == 1
    assert_tracks_equal_truth(tracks, scene.frames[:1], scene.labels)


def test_streamed_frames_equal_the_tracks_of_the_whole_video(scene, scene_video):
    streamed = VideoTracks.from_frames(stream_video(VideoReader(scene_video), Oracle(scene)))
    whole = track_video(scene_video, Oracle(scene), categories={1: Category(name="disc")})
    assert whole.categories[1].name == "disc"
    assert_same(streamed, whole, without=("name", "fps", "size", "categories"))


def test_frames_are_converted_in_other_threads_which_end_with_the_stream(scene, scene_video, monkeypatch):
    threads = set()
    rgb = TimedFrame.rgb
    monkeypatch.setattr(TimedFrame, "rgb", lambda self: threads.add(threading.current_thread()) or rgb(self))
    stream = stream_video(VideoReader(scene_video), Oracle(scene))
    next(stream)
    stream.close()
    assert threads
    assert threading.main_thread() not in threads
    assert not [t for t in threading.enumerate() if t.name.startswith("res3d")]


def test_any_callable_can_be_the_detector(scene, scene_video):
    assert len(track_video(scene_video, Oracle(scene).eval().forward, max_tracks=2)) == 2


def test_a_video_without_detections_has_frames_and_no_tracks(scene_video):
    tracks = track_video(scene_video, detect_nothing)
    assert (len(tracks), tracks.num_frames) == (0, 43)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip_stride": 8}, "clip_stride must be less than 8 (clip_length), so that clips overlap, not 8"),
        ({"clip_length": 1}, "clip_stride must be 1 if clip_length is 1, not 4"),
        ({"clip_length": 0}, "clip length must be a whole number from 1"),
        ({"batch_size": 0}, "batch_size must be ≥ 1, not 0"),
        ({"max_lots": 3}, "unknown setting 'max_lots'; did you mean 'max_lost'"),
    ],
)
def test_invalid_arguments_are_refused_at_the_call(scene, scene_video, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        stream_video(VideoReader(scene_video), Oracle(scene), **arguments)


def test_invalid_results_and_files_are_refused(scene_video, tmp_path):
    with pytest.raises(ValueError, match="the model must return one result per clip: 1, not 2"):
        track_video(scene_video, lambda clips: [{}, {}])
    with pytest.raises(ValueError, match="a clip's detections lack boxes, scores, visible, labels"):
        track_video(scene_video, lambda clips: [{} for _ in clips])
    with pytest.raises(FileNotFoundError, match="no such file"):
        track_video(tmp_path / "none.mp4", lambda clips: [])
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VideoError, match="cannot be read as a video"):
        track_video(tmp_path / "text.mp4", lambda clips: [])
