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
    """The maps of every clip, the slow way: all frames in memory, one clip at a time."""
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
def test_features_are_those_of_each_clip_alone(video, thin, sampler):
    expected = one_by_one(video, thin, sampler)
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL)
    np.testing.assert_allclose(result.features, expected.mean(axis=(2, 3, 4)), rtol=1e-4, atol=1e-5)
    assert result.features.dtype == np.float32
    assert result.frame_indices.tolist() == sampler.indices(40).tolist()
    np.testing.assert_allclose(result.frame_times, result.frame_indices / 25)
    np.testing.assert_allclose(result.start_time, result.frame_times[:, 0])
    np.testing.assert_allclose(result.end_time, result.frame_times[:, -1] + 1 / 25)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.sampled_from(["drop", "pad", "shift"]))
def test_any_sampler_gives_its_clips(video, thin, length, stride, step, tail):
    sampler = ClipSampler(length, stride, step, tail)
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, layer="stem")
    assert result.frame_indices.tolist() == sampler.indices(40).tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_nothing(video, thin, batch_size):
    sampler = ClipSampler(8, 5)
    expected = one_by_one(video, thin, sampler).mean(axis=(2, 3, 4))
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, batch_size=batch_size)
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)


def test_maps_of_any_stage_come_out_whole(video, thin):
    sampler = ClipSampler(8, 16)
    expected = one_by_one(video, thin, sampler, layer="conv3")
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, layer="conv3", pool="none")
    assert result.features.shape == (3, 16, 8, 4, 4)
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)


def test_maps_can_be_pooled_by_their_largest_value(video, thin):
    sampler = ClipSampler(8, 16)
    expected = one_by_one(video, thin, sampler).max(axis=(2, 3, 4))
    result = res3d.extract_features(video, thin, sampler=sampler, preprocess=SMALL, pool="max")
    np.testing.assert_allclose(result.features, expected, rtol=1e-4, atol=1e-5)


def test_a_limited_and_resampled_video_keeps_source_frames_and_times(video, thin):
    sampler = ClipSampler(4, 4)
    reader = VideoReader(video, start=0.4, end=1.2, fps=10)
    result = res3d.extract_features(reader, thin, sampler=sampler, preprocess=SMALL)
    assert result.frame_indices.tolist() == [[10, 12, 15, 17], [20, 22, 25, 27]]
    np.testing.assert_allclose(result.frame_times, result.frame_indices / 25)
    np.testing.assert_allclose(result.end_time, [18 / 25, 28 / 25])
    expected = one_by_one(video, thin, sampler, start=0.4, end=1.2, fps=10)
    np.testing.assert_allclose(result.features, expected.mean(axis=(2, 3, 4)), rtol=1e-4, atol=1e-5)


def test_a_video_shorter_than_a_clip_works(video, thin):
    reader = VideoReader(video, end=0.1)
    result = res3d.extract_features(reader, thin, preprocess=SMALL)
    assert result.frame_indices.tolist() == [[0, 1, 2] + [2] * 13]
    dropped = res3d.extract_features(reader, thin, sampler=ClipSampler(tail="drop"), preprocess=SMALL)
    assert dropped.features.shape == (0, 64)
    assert dropped.frame_indices.shape == (0, 16)


def test_every_frame_is_converted_and_preprocessed_once_at_most(video, thin, monkeypatch):
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
    assert converted == Counter([*range(0, 40, 4), 39]), "frames that no clip holds cost nothing but decoding"
    assert prepared == 11


def test_a_classifiers_backbone_is_used_and_the_mode_given_back(video, thin):
    classifier = res3d.ClipClassifier(thin, 5).train()
    thin.freeze(2)
    a = res3d.extract_features(video, classifier, preprocess=SMALL)
    assert classifier.backbone.training
    assert not classifier.backbone.conv2.training
    b = res3d.extract_features(video, thin.eval(), preprocess=SMALL)
    assert np.array_equal(a.features, b.features)


def test_modes_that_a_caller_mixes_are_given_back_as_they_were(video, thin):
    thin.train()
    thin.conv2.eval()
    before = [module.training for module in thin.modules()]
    res3d.extract_features(video, thin, preprocess=SMALL)
    assert [module.training for module in thin.modules()] == before


def test_a_model_in_double_precision_computes_in_it(video, thin):
    single = res3d.extract_features(video, thin, preprocess=SMALL)
    double = res3d.extract_features(video, thin.double(), preprocess=SMALL)
    assert double.features.dtype == np.float32
    np.testing.assert_allclose(double.features, single.features, rtol=1e-4, atol=1e-5)


def test_a_model_for_other_channels_is_refused(video, thin_spec):
    with pytest.raises(ValueError, match="videos have 3 channels, and resnet10_3d_thin takes 1"):
        res3d.extract_features(video, res3d.create_backbone(thin_spec, in_channels=1))


def test_lower_precision_is_close_and_comes_out_as_float32(video, thin):
    exact = res3d.extract_features(video, thin, preprocess=SMALL)
    rough = res3d.extract_features(video, thin, preprocess=SMALL, dtype="bfloat16")
    assert rough.features.dtype == np.float32
    assert rough.meta["dtype"] == "bfloat16"
    assert not np.array_equal(exact.features, rough.features)
    np.testing.assert_allclose(rough.features, exact.features, atol=0.05 * np.abs(exact.features).max())


def test_meta_says_how_features_were_made(video, thin):
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


def test_the_weights_hash_follows_the_weights(video, thin):
    def hashed() -> str:
        return FeatureExtractor(thin).meta(VideoReader(video))["weights_sha256"]

    before = hashed()
    assert hashed() == before
    with torch.no_grad():
        thin.conv5[0].branch.a.conv.weight[0, 0, 0, 0, 0] += 1e-3
    assert hashed() != before


def test_writing_to_a_file_gives_the_same_features(video, thin, tmp_path):
    extractor = FeatureExtractor(thin, sampler=ClipSampler(8, 4), preprocess=SMALL, pool="none")
    reader = VideoReader(video)
    seen = []
    clips = ExtractionRun(extractor, reader, progress=seen.append).extract_to(tmp_path / "a.npz")
    loaded, direct = res3d.ClipFeatures.load(tmp_path / "a.npz"), ExtractionRun(extractor, reader).extract()
    assert clips == len(loaded) == 9
    assert np.array_equal(loaded.features, direct.features)
    assert loaded.meta == direct.meta
    assert sum(seen) == 40


def test_a_damaged_video_leaves_no_file_unless_it_was_allowed(video, thin, tmp_path):
    damaged = cut(video, 0.8)
    out = tmp_path / "out"
    out.mkdir()
    extractor = FeatureExtractor(thin, preprocess=SMALL)
    with pytest.raises(TruncatedVideoError):
        ExtractionRun(extractor, VideoReader(damaged)).extract_to(out / "a.npz")
    assert not list(out.iterdir())
    ExtractionRun(extractor, VideoReader(damaged, allow_truncated=True)).extract_to(out / "a.npz")
    assert res3d.ClipFeatures.load(out / "a.npz").meta["video"]["damage"]


def test_a_range_without_frames_is_an_error(video, thin):
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
def test_wrong_settings_are_refused(video, thin, arguments, message):
    with pytest.raises(ValueError, match=message):
        res3d.extract_features(video, thin, **arguments)


def test_the_clip_of_a_model_is_used_unless_overridden(video, thin):
    clip = ClipSpec.of(SMALL, length=4, step=2, fps=12.5)
    given = res3d.extract_features(video, thin, clip=clip)
    expected = one_by_one(video, thin, ClipSampler(4, 8, 2), fps=12.5).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(given.features, expected, rtol=1e-4, atol=1e-5)
    assert given.meta["fps"] == 12.5
    assert given.meta["preprocessing"] == SMALL.to_dict()
    classifier = res3d.ClipClassifier(thin, 5, trained_on=clip)
    assert np.array_equal(res3d.extract_features(video, classifier).features, given.features)
    other = ClipSpec.of(SMALL, length=8)
    assert res3d.extract_features(video, classifier, clip=other).frame_indices.shape == (5, 8)
    chosen = res3d.extract_features(video, classifier, sampler=ClipSampler(3, 9), preprocess=KINETICS)
    assert chosen.meta["sampler"]["stride"] == 9
    assert chosen.meta["preprocessing"] == KINETICS.to_dict()
    assert chosen.meta["fps"] is None, "a sampler counts the frames of the video"
    reader = VideoReader(video)
    assert res3d.extract_features(reader, classifier).meta["fps"] is None, "the rate of a reader is the caller's"


def test_clips_that_cannot_be_extracted_are_refused(thin):
    with pytest.raises(ValueError, match="sampling='segments' is a whole video"):
        FeatureExtractor(thin, clip=ClipSpec(length=8, sampling="segments"))
    with pytest.raises(ValueError, match="features are of one view of each frame, not of 3 views"):
        FeatureExtractor(thin, clip=ClipSpec(length=8, crop=(32, 32), views=3))
