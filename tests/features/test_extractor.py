import hashlib
import json
from collections import Counter

import numpy as np
import pytest
import torch
from helpers.videos import cut
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import res3d
from res3d.clips import ClipSpec
from res3d.features import ExtractionRun, FeatureExtractor
from res3d.video import KINETICS, ClipSampler, Preprocessing, TruncatedVideoError, VideoError, VideoReader

SMALL = Preprocessing(resize=(40, 50), crop=(32, 32), mean=KINETICS.mean, std=KINETICS.std)


def one_by_one(video, model, sampler, layer="conv5", preprocess=SMALL, **reader) -> np.ndarray:
    """Return the maps of every clip, computed with all frames in memory, one clip at a time."""
    frames = torch.from_numpy(np.stack([image for image, _ in VideoReader(video, **reader)]))
    pixels = preprocess(frames).permute(1, 0, 2, 3)
    with torch.no_grad():
        maps = [
            model.compute_maps(pixels[None, :, row], model.spec.stage_names, [layer])[layer][0]
            for row in sampler.indices(len(frames))
        ]
    return torch.stack(maps).numpy()


SAMPLERS = [
    ClipSampler(8, 8),
    ClipSampler(8, 3),
    ClipSampler(4, 2, 3, "shift"),
    ClipSampler(4, 9, 2, "drop"),
    ClipSampler(5, 1, align="center"),
    ClipSampler(64, 16),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_features_equal_those_of_single_clips(video, thin, sampler):
    expected = one_by_one(video, thin, sampler)
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL)
    np.testing.assert_allclose(result.features, expected.mean(axis=(2, 3, 4)), rtol=1e-4, atol=1e-5)
    assert result.features.dtype == np.float32
    assert result.frame_indices.tolist() == sampler.indices(40).tolist()
    np.testing.assert_allclose(result.frame_times, result.frame_indices / 25)
    np.testing.assert_allclose(result.start_time, result.frame_times[:, 0])
    np.testing.assert_allclose(result.end_time, result.frame_times[:, -1] + 1 / 25)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.sampled_from(["drop", "pad", "shift"]))
def test_frame_indices_equal_those_of_any_sampler(video, thin, length, stride, step, tail):
    sampler = ClipSampler(length, stride, step, tail)
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, layer="stem")
    assert result.frame_indices.tolist() == sampler.indices(40).tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_does_not_change_features(video, thin, batch_size):
    sampler = ClipSampler(8, 5)
    expected = one_by_one(video, thin, sampler).mean(axis=(2, 3, 4))
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, batch_size=batch_size)
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)


def test_pool_none_returns_the_map_of_a_stage(video, thin):
    sampler = ClipSampler(8, 16)
    expected = one_by_one(video, thin, sampler, layer="conv3")
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, layer="conv3", pool="none")
    assert result.features.shape == (3, 16, 8, 4, 4)
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)


def test_pool_max_is_the_maximum_of_the_map(video, thin):
    sampler = ClipSampler(8, 16)
    expected = one_by_one(video, thin, sampler).max(axis=(2, 3, 4))
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, pool="max")
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)


def test_resampled_part_of_a_video_has_source_frames_and_times(video, thin):
    sampler = ClipSampler(4, 4)
    reader = VideoReader(video, start=0.4, end=1.2, fps=10)
    result = res3d.extract_features(reader, thin, sampler=sampler, preprocess=SMALL)
    assert result.frame_indices.tolist() == [[10, 12, 15, 17], [20, 22, 25, 27]]
    np.testing.assert_allclose(result.frame_times, result.frame_indices / 25)
    np.testing.assert_allclose(result.end_time, [18 / 25, 28 / 25])
    expected = one_by_one(video, thin, sampler, start=0.4, end=1.2, fps=10)
    np.testing.assert_allclose(result.features, expected.mean(axis=(2, 3, 4)), rtol=1e-4, atol=1e-5)


def test_video_shorter_than_a_clip_is_padded_or_dropped(video, thin):
    reader = VideoReader(video, end=0.1)
    result = res3d.extract_features(reader, thin, preprocess=SMALL)
    assert result.frame_indices.tolist() == [[0, 1, 2] + [2] * 13]
    dropped = res3d.extract_features(reader, thin, sampler=ClipSampler(tail="drop"), preprocess=SMALL)
    assert dropped.features.shape == (0, 64)
    assert dropped.frame_indices.shape == (0, 16)


def test_every_frame_is_converted_and_preprocessed_at_most_once(video, thin, monkeypatch):
    converted: Counter[int] = Counter()
    prepared = 0
    rgb = res3d.video.TimedFrame.rgb
    monkeypatch.setattr(res3d.video.TimedFrame, "rgb", lambda self: converted.update([self.index]) or rgb(self))

    class Counting(Preprocessing):
        def __call__(self, frames):
            nonlocal prepared
            prepared += len(frames)
            return super().__call__(frames)

    counting = Counting(resize=(40, 50), crop=(32, 32), mean=KINETICS.mean, std=KINETICS.std)
    res3d.extract_features(video, thin, sampler=ClipSampler(8, 1), preprocess=counting)
    assert converted == Counter(range(40))
    assert prepared == 40
    converted.clear()
    prepared = 0
    res3d.extract_features(video, thin, sampler=ClipSampler(2, 8, 4), preprocess=counting)
    assert converted == Counter([*range(0, 40, 4), 39]), "frames that no clip contains are only decoded"
    assert prepared == 11


def test_classifier_in_training_mode_gives_eval_features_and_keeps_its_mode(video, thin):
    classifier = res3d.ClipClassifier(thin, 5).train()
    thin.freeze(2)
    a = res3d.extract_features(video, classifier, preprocess=SMALL)
    assert classifier.backbone.training
    assert not classifier.backbone.conv2.training
    b = res3d.extract_features(video, thin.eval(), preprocess=SMALL)
    assert np.array_equal(a.features, b.features)


def test_mixed_training_modes_are_not_changed(video, thin):
    thin.train()
    thin.conv2.eval()
    before = [module.training for module in thin.modules()]
    res3d.extract_features(video, thin, preprocess=SMALL)
    assert [module.training for module in thin.modules()] == before


def test_double_precision_model_gives_float32_features(video, thin):
    single = res3d.extract_features(video, thin, preprocess=SMALL)
    double = res3d.extract_features(video, thin.double(), preprocess=SMALL)
    assert double.features.dtype == np.float32
    np.testing.assert_allclose(double.features, single.features, rtol=1e-4, atol=1e-5)


def test_model_without_three_input_channels_is_refused(video, thin_spec):
    with pytest.raises(ValueError, match="videos have 3 channels, and resnet10_3d_thin takes 1"):
        res3d.extract_features(video, res3d.create_backbone(thin_spec, in_channels=1))


def test_bfloat16_features_are_close_and_float32(video, thin):
    exact = res3d.extract_features(video, thin, preprocess=SMALL)
    rounded = res3d.extract_features(video, thin, preprocess=SMALL, dtype="bfloat16")
    assert rounded.features.dtype == np.float32
    assert rounded.meta["dtype"] == "bfloat16"
    assert not np.array_equal(exact.features, rounded.features)
    np.testing.assert_allclose(rounded.features, exact.features, atol=0.05 * np.abs(exact.features).max())


def test_meta_describes_model_settings_and_video(video, thin):
    meta = res3d.extract_features(video, thin, sampler=ClipSampler(8, 4), preprocess=SMALL).meta
    assert json.loads(json.dumps(meta)) == meta
    assert meta["model"] == "resnet10_3d_thin"
    assert res3d.BackboneSpec.from_yaml(meta["spec"]) == thin.spec
    assert meta["weights"] is None
    assert len(meta["weights_sha256"]) == len(hashlib.sha256().hexdigest())
    assert meta["sampler"] == {"length": 8, "stride": 4, "step": 1, "tail": "pad", "align": "start"}
    assert meta["preprocessing"]["crop"] == [32, 32]
    assert (meta["video"]["fps"], meta["video"]["width"], meta["video"]["height"]) == (25.0, 64, 48)
    assert meta["version"] == res3d.__version__
    assert meta["layer"] == "conv5"


def test_weights_hash_changes_with_the_weights(video, thin):
    def weights_hash() -> str:
        return FeatureExtractor(thin).meta(VideoReader(video))["weights_sha256"]

    before = weights_hash()
    assert weights_hash() == before
    with torch.no_grad():
        thin.conv5[0].branch.a.conv.weight[0, 0, 0, 0, 0] += 1e-3
    assert weights_hash() != before


def test_extract_to_writes_the_same_features(video, thin, tmp_path):
    extractor = FeatureExtractor(thin, sampler=ClipSampler(8, 4), preprocess=SMALL, pool="none")
    reader = VideoReader(video)
    counts = []
    clips = ExtractionRun(extractor, reader, progress=counts.append).extract_to(tmp_path / "a.npz")
    loaded, direct = res3d.ClipFeatures.load(tmp_path / "a.npz"), ExtractionRun(extractor, reader).extract()
    assert clips == len(loaded) == 9
    assert np.array_equal(loaded.features, direct.features)
    assert loaded.meta == direct.meta
    assert sum(counts) == 40


def test_damaged_video_leaves_no_file_without_allow_truncated(video, thin, tmp_path):
    damaged = cut(video, 0.8)
    out = tmp_path / "out"
    out.mkdir()
    extractor = FeatureExtractor(thin, preprocess=SMALL)
    with pytest.raises(TruncatedVideoError):
        ExtractionRun(extractor, VideoReader(damaged)).extract_to(out / "a.npz")
    assert not list(out.iterdir())
    ExtractionRun(extractor, VideoReader(damaged, allow_truncated=True)).extract_to(out / "a.npz")
    assert res3d.ClipFeatures.load(out / "a.npz").meta["video"]["damage"]


def test_time_range_without_frames_is_an_error(video, thin):
    with pytest.raises(VideoError, match="no frame from 99 s to the end"):
        res3d.extract_features(VideoReader(video, start=99), thin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "layer4"}, r"layer: resnet10_3d_thin has no stage 'layer4'; did you mean 'conv5'\?"),
        ({"layer": "conv6"}, r"layer: resnet10_3d_thin has no stage 'conv6' \(accepted: stem, conv2"),
        ({"pool": "sum"}, "pool must be one of 'avg', 'max', 'none', not 'sum'"),
        ({"dtype": "int8"}, "dtype must be one of 'auto', 'float32', 'bfloat16', 'float16', not 'int8'"),
        ({"batch_size": 0}, "batch_size must be a whole number ≥ 1, not 0"),
    ],
)
def test_invalid_settings_are_refused(video, thin, arguments, message):
    with pytest.raises(ValueError, match=message):
        res3d.extract_features(video, thin, **arguments)


def test_clip_spec_of_a_model_is_used_unless_overridden(video, thin):
    clip = ClipSpec.of(SMALL, length=4, step=2, fps=12.5)
    result = res3d.extract_features(video, thin, clip=clip)
    expected = one_by_one(video, thin, ClipSampler(4, 8, 2), fps=12.5).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)
    assert result.meta["fps"] == 12.5
    assert result.meta["preprocessing"] == SMALL.to_dict()
    classifier = res3d.ClipClassifier(thin, 5, trained_on=clip)
    assert np.array_equal(res3d.extract_features(video, classifier).features, result.features)
    other = ClipSpec.of(SMALL, length=8)
    assert res3d.extract_features(video, classifier, clip=other).frame_indices.shape == (5, 8)
    chosen = res3d.extract_features(video, classifier, sampler=ClipSampler(3, 9), preprocess=KINETICS)
    assert chosen.meta["sampler"]["stride"] == 9
    assert chosen.meta["preprocessing"] == KINETICS.to_dict()
    assert chosen.meta["fps"] is None, "a sampler without a clip counts the frames of the video"
    reader = VideoReader(video)
    assert res3d.extract_features(reader, classifier).meta["fps"] is None, "a reader is not resampled"


def test_segments_and_several_views_are_refused(thin):
    with pytest.raises(ValueError, match="sampling='segments' is a whole video"):
        FeatureExtractor(thin, clip=ClipSpec(length=8, sampling="segments"))
    with pytest.raises(ValueError, match="features are extracted from one view of each frame, not from 3 views"):
        FeatureExtractor(thin, clip=ClipSpec(length=8, crop=(32, 32), views=3))
