"""The whole detector, on small models: inputs, results, losses, settings and saved files."""

import pytest
import torch
from helpers.detectors import clip_targets, tiny_detector

import res3d
from res3d.detection.box_detections import BoxDetections
from res3d.structures import Category

CLIPS = [(3, 5, 40, 56), (3, 5, 64, 48)]


def clips() -> list[torch.Tensor]:
    return [torch.rand(*size) for size in CLIPS]


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"mask": False},
        {"keypoints": 5},
        {"neck": "c4", "keypoints": 5},
        {"design": "torchvision_v2"},
        {"design": "detect_and_track", "neck": "c4", "keypoints": 5},
        {"temporal_kernel": 1},
        {"temporal_stride": 2},
        {"temporal_stride": 2, "neck": "c4"},
    ],
    ids=lambda k: " ".join(f"{name}={value}" for name, value in k.items()) or "default",
)
def test_results_have_documented_shapes_and_ranges(keywords):
    model = tiny_detector(**keywords).eval()
    with torch.no_grad():
        results = model(clips())
    assert len(results) == 2
    for result, (_, t, h, w) in zip(results, CLIPS, strict=True):
        count = len(result["scores"])
        assert 0 < count <= 6
        shapes = {"boxes": (count, t, 4), "visible": (count, t), "scores": (count,), "labels": (count,)}
        if keywords.get("mask", True):
            shapes["masks"] = (count, t, 1, h, w)
        if "keypoints" in keywords:
            shapes |= {"keypoints": (count, t, 5, 3), "keypoints_scores": (count, t, 5)}
        assert {name: tuple(v.shape) for name, v in result.items() if name != "embeddings"} == shapes
        assert torch.allclose(result["embeddings"].norm(dim=1), torch.ones(count))
        assert result["labels"].dtype == torch.int64
        assert set(result["labels"].tolist()) <= {1, 2, 3}
        assert result["scores"].tolist() == sorted(result["scores"].tolist(), reverse=True)
        for probability in ("visible", "scores", "masks"):
            if probability in result:
                assert 0 <= result[probability].min() <= result[probability].max() <= 1
        boxes = result["boxes"]
        assert (boxes >= 0).all()
        assert (boxes[..., 2] <= w + 1e-4).all()
        assert (boxes[..., 3] <= h + 1e-4).all()


def test_model_accepts_clips_of_any_length():
    model = tiny_detector().eval()
    with torch.no_grad():
        for length in (1, 2, 7):
            (result,) = model([torch.rand(3, length, 40, 56)])
            assert result["boxes"].shape[1] == length


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"neck": "c4", "keypoints": 5}, {"design": "torchvision_v2"}])
def test_losses_reach_every_parameter(keywords):
    model = tiny_detector(**keywords).train()
    heads = [name for name in ("masks", "keypoints") if name in {t.field for t in model.tasks.values()}]
    losses = model(clips(), [clip_targets(size, heads) for size in CLIPS])
    names = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_visible", "loss_mask"}
    assert set(losses) == names | ({"loss_keypoint"} if "keypoints" in keywords else set())
    assert all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"design": "torchvision_v2"}])
def test_training_accepts_clips_without_objects(keywords):
    model = tiny_detector(**keywords).train()
    heads = [t.field for t in model.tasks.values()]
    for objects in ((0, 0), (2, 0)):
        targets = [clip_targets(size, heads, count=n) for size, n in zip(CLIPS, objects, strict=True)]
        losses = model(clips(), targets)
        assert all(torch.isfinite(loss) for loss in losses.values())
        sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(torch.isfinite(b).all() for b in model.buffers())


def test_losses_and_results_without_proposals():
    model = tiny_detector(keypoints=5, rpn_score_thresh=1.0)
    targets = [clip_targets(size, ["masks", "keypoints"], count=0) for size in CLIPS]
    losses = model(clips(), targets)
    sum(losses.values()).backward()
    assert losses["loss_classifier"].item() == 0
    with torch.no_grad():
        assert [len(r["scores"]) for r in model.eval()(clips())] == [0, 0]


def test_targets_of_hidden_frames_do_not_change_losses():
    model = tiny_detector(keypoints=5).eval()
    model.training = True  # losses without the noise of batch statistics
    targets = [clip_targets(size, ["masks", "keypoints"]) for size in CLIPS]
    targets[0]["visible"][0, 2:] = False

    def losses() -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        torch_clips = [torch.rand(*size) for size in CLIPS]
        with torch.no_grad():
            return model(torch_clips, targets)

    before = losses()
    targets[0]["boxes"][0, 2:] = float("nan")
    targets[0]["keypoints"][0, 2:] = float("nan")
    targets[0]["masks"][0, 2:] = ~targets[0]["masks"][0, 2:]
    after = losses()
    assert before == after


def test_invalid_clips_and_targets_are_refused():
    model = tiny_detector()
    wrong = clip_targets(CLIPS[1], ["masks"])
    wrong["labels"][0] = 9
    with pytest.raises(ValueError, match=r"clip 1: labels must be in \[1, 4\)"):
        model(clips(), [clip_targets(CLIPS[0], ["masks"]), wrong])
    with pytest.raises(ValueError, match=r"clip 0: T, H and W must be ≥ 1"):
        model([torch.rand(3, 0, 40, 40)], None)
    with pytest.raises(ValueError, match=r"clip 0: pixels must be finite"):
        model.eval()([torch.full((3, 2, 40, 40), float("nan"))])


def test_frozen_stages_get_no_gradient():
    model = tiny_detector(freeze_at=2).train()
    assert model.backbone.frozen_stages == ("stem", "conv2")
    sum(model(clips(), [clip_targets(size, ["masks"]) for size in CLIPS]).values()).backward()
    assert model.backbone.stem.conv.weight.grad is None
    assert model.backbone.conv3[0].branch.a.conv.weight.grad is not None


def test_checkpointing_does_not_change_losses_and_gradients():
    batch, targets = clips(), [clip_targets(size, ["masks"]) for size in CLIPS]
    plain, checkpointed = tiny_detector().train(), tiny_detector(checkpoint_stages=["conv2", "conv4"]).train()
    stages = [
        name for name in checkpointed.spec.backbone.stage_names if getattr(checkpointed.backbone, name).checkpointed
    ]
    assert stages == ["conv2", "conv4"]
    checkpointed.load_state_dict(plain.state_dict())
    grads = []
    for model in (plain, checkpointed):
        torch.manual_seed(3)
        losses = model(batch, targets)
        sum(losses.values()).backward()
        grads.append([losses[name].item() for name in sorted(losses)] + [p.grad for p in model.parameters()])
    assert all(torch.allclose(torch.as_tensor(a), torch.as_tensor(b), atol=1e-6) for a, b in zip(*grads, strict=True))


def test_nan_weights_raise_an_error_at_inference():
    model = tiny_detector().eval()
    with torch.no_grad():
        model.backbone.conv3[0].branch.a.conv.weight[0] = float("nan")
    with pytest.raises(FloatingPointError, match="objectness is not finite"):
        model(clips())
    model = tiny_detector().eval()
    with torch.no_grad():
        model.box_head.classes.bias[1] = float("nan")
    with pytest.raises(FloatingPointError, match="class scores are not finite"):
        model(clips())


def test_frame_wise_masks_and_keypoints_equal_those_of_single_frames():
    """With a temporal kernel of 1, each frame of a clip has the results of a clip of that frame alone."""
    model = tiny_detector(keypoints=5, temporal_kernel=1).eval()
    clip, boxes = torch.rand(3, 4, 64, 96), torch.tensor([[8.0, 8, 40, 40], [30, 10, 90, 60]])[:, None].repeat(1, 4, 1)
    boxes = boxes + 2 * torch.arange(4)[None, :, None]

    def predict(frames: slice) -> dict[str, torch.Tensor]:
        batch = model.transform([clip[:, frames]])
        levels = model._levels(model.backbone(batch.pixels), batch)
        pool, _, _ = model._propose(levels, batch, None)
        count = batch.pixels.shape[2]
        detections = BoxDetections(
            boxes=boxes[:, frames],
            visible=torch.ones(2, count),
            scores=torch.ones(2),
            labels=torch.tensor([1, 2]),
            embeddings=torch.ones(2, 4),
        )
        features = model._features(pool, [detections.boxes])
        return {
            name: value
            for task in model.tasks.values()
            for name, value in task.predict(features[task.roi_size], [detections])[0].items()
        }

    with torch.no_grad():
        clip_results = predict(slice(0, 4))
        for t in range(4):
            frame_results = predict(slice(t, t + 1))
            for name, atol in (("masks", 1e-5), ("keypoints", 1e-3), ("keypoints_scores", 1e-4)):
                assert torch.allclose(clip_results[name][:, t], frame_results[name][:, 0], atol=atol), name
    assert not torch.allclose(clip_results["masks"][:, 0], clip_results["masks"][:, 3], atol=1e-2)


def test_boxes_are_clipped_by_the_pixel_convention():
    """In Detectron's convention x2 is the last pixel: 95 in a frame that is 96 wide."""
    frames = torch.rand(3, 2, 64, 96)
    for design, right, bottom in (("detect_and_track", 95, 63), ("torchvision", 96, 64)):
        model = tiny_detector(neck="c4", design=design, mask=False)
        with torch.no_grad():
            model.box_head.deltas.weight.zero_()
            model.box_head.deltas.bias.view(-1, 4)[:, 2:] = 15  # boxes grow e³ times, beyond the frame
            (result,) = model.eval()([frames])
        assert result["boxes"][..., 2].max() == right
        assert result["boxes"][..., 3].max() == bottom


def test_detect_needs_eval_mode():
    with pytest.raises(ValueError, match="detect needs a model in eval mode"):
        tiny_detector().train().detect(clips())


def test_results_and_losses_are_float32_under_autocast():
    model = tiny_detector(keypoints=5).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (result,) = model([torch.rand(3, 2, 40, 56)])
    for name in ("boxes", "scores", "visible", "keypoints", "embeddings", "masks"):
        assert result[name].dtype == torch.float32, name
    losses = model.train()(clips(), [clip_targets(size, ["masks", "keypoints"]) for size in CLIPS])
    assert all(loss.dtype == torch.float32 for loss in losses.values())


def test_detect_equals_forward_with_lazy_masks():
    model = tiny_detector(keypoints=5).eval()
    batch = clips()
    with torch.no_grad():
        expected_results, results = model(batch), model.detect(batch)
    for expected, result in zip(expected_results, results, strict=True):
        assert expected.keys() == result.keys()
        assert all(torch.equal(expected[name], result[name]) for name in expected if name != "masks")
        assert len(result["masks"]) == len(expected["masks"])
        torch.testing.assert_close(result["masks"][1, 2], expected["masks"][1, 2, 0])


@pytest.mark.parametrize("keywords", [{"keypoints": 5, "min_size": 48}, {"neck": "c4"}])
@pytest.mark.parametrize("stages", [2, 5])
def test_resume_equals_forward(keywords, stages):
    """Losses and results are equal. ``resume`` needs only the sizes of the clips, and draws the same random sizes."""
    model, batch = tiny_detector(**keywords).eval(), clips()
    heads = [task.field for task in model.tasks.values()]
    targets, sizes = [clip_targets(size, heads) for size in CLIPS], [size[1:] for size in CLIPS]
    with torch.no_grad():
        maps = model.backbone.leading_maps(model.transform(batch).pixels, stages)
        for expected, result in zip(model(batch), model.resume(maps, sizes), strict=True):
            assert all(torch.equal(expected[name], result[name]) for name in expected)
        model.training = True  # losses without the noise of batch statistics
        torch.manual_seed(5)
        losses = model(batch, targets)
        torch.manual_seed(5)
        assert model.resume(maps, sizes, targets) == losses
    with pytest.raises(ValueError, match=r"sizes must have one entry per clip: 1, but .* has 2 clips"):
        model.resume(maps, sizes[:1], targets[:1])


def test_dense_parts_are_all_but_the_heads():
    with_pyramid, without = tiny_detector(), tiny_detector(neck="c4")
    assert list(with_pyramid.dense_parts()) == [with_pyramid.backbone, with_pyramid.neck, with_pyramid.tpn.convs]
    assert list(without.dense_parts()) == [without.backbone, without.tpn.convs]


def test_categories_are_saved_with_the_detector(tmp_path):
    names = tuple(Category(name=name, keypoints=("a", "b"), skeleton=((0, 1),)) for name in ("cat", "dog", "cat"))
    model = tiny_detector(categories=names)
    assert model.categories == {1: names[0], 2: names[1], 3: names[2]}
    assert tiny_detector().categories == {}
    res3d.save_weights(model, tmp_path / "d.safetensors")
    assert res3d.load_model(tmp_path / "d.safetensors").categories == model.categories
    with pytest.raises(ValueError, match="categories must be none or 3, one per class besides the background, not 1"):
        tiny_detector(categories=names[:1])
