"""The windows of ``DenseWindows`` equal those of the map of the whole video, computed at once."""

import numpy as np
import pytest
import torch

import res3d
from res3d.features import ExtractionRun, FeatureExtractor, NetworkOptions
from res3d.features.dense import DenseWindows, MapGrid
from res3d.video import ClipSampler, FramePlace, Preprocessing, StreamFrame

SMALL = Preprocessing(resize=(36, 48), crop=(32, 32), mean=(0.4,) * 3, std=(0.2,) * 3)


def create(name: str, **overrides) -> res3d.ResNet3d:
    return res3d.create_backbone(name, width=0.0625, **overrides).eval().double()


def whole_video(video: torch.Tensor, sampler: ClipSampler) -> torch.Tensor:
    """Return the frames that the clips consist of, with repeated border frames: [C, n, H, W] -> [C, m, H, W]."""
    n = video.shape[1]
    end = n
    if sampler.tail == "pad":
        end = max(n, (sampler.num_clips(n) - 1) * sampler.stride + sampler.offset + sampler.span)
    return video[:, np.arange(sampler.offset, end, sampler.step).clip(0, n - 1)]


@pytest.mark.parametrize(
    ("name", "layer", "sampler", "n"),
    [
        ("resnet18_3d", "conv5", ClipSampler(8, 2), 61),
        ("resnet18_3d", "conv3", ClipSampler(4, 6, 3, tail="drop"), 220),
        ("resnet18_3d", "conv4", ClipSampler(4, 5, tail="shift"), 63),
        ("resnet18_3d", "conv4", ClipSampler(5, 1, align="center"), 40),
        ("resnet18_3d", "conv4", ClipSampler(4, 4, 2, align="center"), 41),
        ("resnet18_3d", "conv5", ClipSampler(8, 8), 3),
        ("r3d_18", "conv4", ClipSampler(16, 4), 150),
        ("r3d_18", "conv5", ClipSampler(16, 8, tail="drop"), 203),
        ("c2d_r50", "conv5", ClipSampler(8, 4), 57),
        ("i3d_r50", "conv4", ClipSampler(6, 2), 101),
        ("resnet18v2_3d", "conv5", ClipSampler(4, 3, 1, tail="pad"), 90),
    ],
    ids=str,
)
@torch.no_grad()
def test_windows_equal_the_map_of_the_whole_video(name, layer, sampler, n):
    model = create(name)
    video = torch.randn(3, n, 32, 32).double()
    expected = model.compute_maps(whole_video(video, sampler)[None], model.spec.stage_names, [layer])[layer][0]
    grid = MapGrid(spec=model.spec, layer=layer, sampler=sampler)
    segments = []

    def run(segment):
        segments.append(segment.shape[2])
        return model.compute_maps(segment, model.spec.stage_names, [layer])[layer]

    dense = DenseWindows(grid, run, core=4, batch=3)
    places = [FramePlace(i, i, i / 10, (i + 1) / 10, True) for i in range(n)]
    frames = [StreamFrame(place=place, values=video[:, i]) for i, place in enumerate(places)]
    batches = [batch for frame in frames for batch in dense.push(frame)] + list(dense.finish())
    clips = [clip for batch, _ in batches for clip in batch]
    assert max(len(batch) for batch, _ in batches) <= 3
    windows = torch.cat([window for _, window in batches])
    indices = sampler.indices(n)
    assert [list(clip.numbers) for clip in clips] == indices.tolist()
    length = grid.positions(sampler.length)
    for k, window in enumerate(windows):
        start = k * sampler.stride // sampler.step
        if sampler.tail == "shift" and k == len(windows) - 1:
            start = n - sampler.span
        first = start // grid.stride
        torch.testing.assert_close(window, expected[:, first : first + length], rtol=1e-9, atol=1e-9)
    if n > 3 and sum(grid.reach) * 8 < n:
        assert len(segments) > 1


@pytest.mark.parametrize(
    ("name", "overrides", "sampler", "message"),
    [
        (
            "r3d_18",
            {},
            ClipSampler(16, 4),
            "a position every 8 frames, so the clip stride must be a multiple of it, not 4",
        ),
        ("resnet18_3d", {}, ClipSampler(8, 3, 2), "a position every 2 frames, so the clip stride must .* not 3"),
        ("r3d_18", {}, ClipSampler(16, 8, tail="shift"), "tail='shift' moves the last clip off them"),
        ("resnet18_3d", {"norm": "group"}, ClipSampler(), "resnet18_3d averages over all frames of a clip"),
    ],
    ids=str,
)
def test_context_video_refuses_undefined_combinations(name, overrides, sampler, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(create(name, **overrides), sampler=sampler, context="video")


@pytest.mark.parametrize("pool", ["avg", "max", "none"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_extraction_with_context_video_pools_windows(video, thin, pool, batch_size):
    sampler = ClipSampler(8, 4)
    result = res3d.extract_features(
        video, thin, sampler=sampler, pool=pool, preprocess=SMALL, batch_size=batch_size, context="video"
    )
    assert result.meta["context"] == "video"
    assert result.frame_indices.tolist() == sampler.indices(40).tolist()
    pools = {"avg": lambda m: m.mean(axis=(1, 2, 3)), "max": lambda m: m.max(axis=(1, 2, 3)), "none": lambda m: m}
    maps = res3d.extract_features(video, thin, sampler=ClipSampler(40, 40), pool="none", preprocess=SMALL).features[0]
    for k, features in enumerate(result.features):
        np.testing.assert_allclose(features, pools[pool](maps[:, 4 * k : 4 * k + 8]), rtol=1e-4, atol=1e-5)


def test_logits_of_a_window_of_the_whole_video(video, thin):
    classifier = res3d.ClipClassifier(thin, 5)
    torch.nn.init.normal_(classifier.fc.weight)
    clip = res3d.extract_features(video, classifier, sampler=ClipSampler(40, 40), layer="logits", preprocess=SMALL)
    window = res3d.extract_features(
        video, classifier, sampler=ClipSampler(40, 40), layer="logits", preprocess=SMALL, context="video"
    )
    np.testing.assert_allclose(window.features, clip.features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["thin", "slow_r50", "c2d_r50"])
@pytest.mark.parametrize("layer", ["stem", "conv2", "conv4", "conv5"])
def test_shared_frames_give_the_same_features(video, thin, name, layer):
    model = thin if name == "thin" else create(name).float()
    settings = {"sampler": ClipSampler(8, 3, 2), "layer": layer, "preprocess": SMALL, "pool": "none"}
    sharing, other = (
        FeatureExtractor(model, **settings, options=NetworkOptions(share_frames=share)) for share in (True, False)
    )
    shared, separate = (
        ExtractionRun(extractor, res3d.video.VideoReader(video)).extract() for extractor in (sharing, other)
    )
    assert sharing.network.shared
    assert not other.network.shared
    np.testing.assert_allclose(shared.features, separate.features, rtol=1e-4, atol=1e-5)
    shifted = {
        **settings,
        "sampler": ClipSampler(4, 4, 2, "shift"),
    }  # the last clip may start at any of the last frames
    assert not FeatureExtractor(model, **shifted).network.shared


def test_time_alone_measures_every_part(video, thin):
    extractor = FeatureExtractor(thin, sampler=ClipSampler(4, 2), preprocess=SMALL)
    times = ExtractionRun(extractor, res3d.video.VideoReader(video)).time_alone()
    assert list(times) == ["decode", "preprocess", "network"]
    assert min(times.values()) > 0


def test_unknown_context_is_refused(thin):
    with pytest.raises(ValueError, match="context must be one of 'clip', 'video', not 'all'"):
        FeatureExtractor(thin, context="all")
