"""The detector as a whole: contract of its inputs and results, on tiny models."""

import pytest
import torch
from made_detectors import clip_targets, tiny

import res3d
from res3d.detection import MaskRCNN3d
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
def test_results_have_the_contracts_shapes(keywords):
    model = tiny(**keywords).eval()
    with torch.no_grad():
        results = model(clips())
    assert len(results) == 2
    for result, (_, t, h, w) in zip(results, CLIPS, strict=True):
        found = len(result["scores"])
        assert 0 < found <= 6
        shapes = {"boxes": (found, t, 4), "visible": (found, t), "scores": (found,), "labels": (found,)}
        if keywords.get("mask", True):
            shapes["masks"] = (found, t, 1, h, w)
        if "keypoints" in keywords:
            shapes |= {"keypoints": (found, t, 5, 3), "keypoints_scores": (found, t, 5)}
        assert {name: tuple(v.shape) for name, v in result.items() if name != "embeddings"} == shapes
        assert torch.allclose(result["embeddings"].norm(dim=1), torch.ones(found))
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


def test_one_model_takes_any_length():
    model = tiny().eval()
    with torch.no_grad():
        for length in (1, 2, 7):
            (result,) = model([torch.rand(3, length, 40, 56)])
            assert result["boxes"].shape[1] == length


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"neck": "c4", "keypoints": 5}, {"design": "torchvision_v2"}])
def test_training_gives_losses_that_reach_every_parameter(keywords):
    model = tiny(**keywords).train()
    heads = [name for name in ("masks", "keypoints") if name in {t.field for t in model.tasks.values()}]
    losses = model(clips(), [clip_targets(size, heads) for size in CLIPS])
    names = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_visible", "loss_mask"}
    assert set(losses) == names | ({"loss_keypoint"} if "keypoints" in keywords else set())
    assert all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"design": "torchvision_v2"}])
def test_clips_without_any_object_train(keywords):
    model = tiny(**keywords).train()
    heads = [t.field for t in model.tasks.values()]
    for objects in ((0, 0), (2, 0)):
        targets = [clip_targets(size, heads, count=n) for size, n in zip(CLIPS, objects, strict=True)]
        losses = model(clips(), targets)
        assert all(torch.isfinite(loss) for loss in losses.values())
        sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(torch.isfinite(b).all() for b in model.buffers())


def test_no_proposal_at_all_is_no_trouble():
    model = tiny(keypoints=5, rpn_score_thresh=1.0)
    targets = [clip_targets(size, ["masks", "keypoints"], count=0) for size in CLIPS]
    losses = model(clips(), targets)
    sum(losses.values()).backward()
    assert losses["loss_classifier"].item() == 0
    with torch.no_grad():
        assert [len(r["scores"]) for r in model.eval()(clips())] == [0, 0]


def test_frames_after_the_padding_of_a_hidden_object_teach_nothing():
    """What stands in a hidden frame's targets does not change the losses."""
    model = tiny(keypoints=5).eval()
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


def test_targets_are_checked_before_anything_else():
    model = tiny()
    wrong = clip_targets(CLIPS[1], ["masks"])
    wrong["labels"][0] = 9
    with pytest.raises(ValueError, match=r"clip 1: labels must be in \[1, 4\)"):
        model(clips(), [clip_targets(CLIPS[0], ["masks"]), wrong])
    with pytest.raises(ValueError, match=r"clip 0: T, H and W must be ≥ 1"):
        model([torch.rand(3, 0, 40, 40)], None)
    with pytest.raises(ValueError, match=r"clip 0: pixels must be finite"):
        model.eval()([torch.full((3, 2, 40, 40), float("nan"))])


def test_a_frozen_backbone_stays_frozen_and_checkpointing_changes_nothing():
    model = tiny(freeze_at=2, checkpoint_stages=["conv4"]).train()
    assert model.backbone.frozen_stages == ("stem", "conv2")
    losses = model(clips(), [clip_targets(size, ["masks"]) for size in CLIPS])
    sum(losses.values()).backward()
    assert model.backbone.stem.conv.weight.grad is None
    assert model.backbone.conv3[0].branch.a.conv.weight.grad is not None


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"neck": "c4", "design": "detect_and_track"}])
def test_a_saved_file_rebuilds_the_detector(tmp_path, keywords):
    model = tiny(box_nms_thresh=0.4, **keywords).eval()
    model.set_norm_eps(1e-3)
    res3d.save_weights(model, tmp_path / "detector.safetensors")
    again = res3d.load_model(tmp_path / "detector.safetensors").eval()
    assert isinstance(again, MaskRCNN3d)
    assert (again.spec, again.settings) == (model.spec, model.settings)
    clip = torch.rand(3, 2, 40, 56)
    with torch.no_grad():
        (a,), (b,) = model([clip]), again([clip])
    assert all(torch.equal(a[name], b[name]) for name in a)
    backbone = res3d.ResNet3d(model.spec.backbone)
    report = res3d.load_weights(backbone, tmp_path / "detector.safetensors", norm_eps=1e-3)
    assert report.missing == report.unexpected == ()
    assert torch.equal(backbone.stem.conv.weight, model.backbone.stem.conv.weight)


def test_weights_of_another_detector_are_refused(tmp_path):
    model = tiny()
    res3d.save_weights(model, tmp_path / "d.safetensors")
    with pytest.raises(res3d.WeightsError, match="res3d detector weights, but not of this resnet10_3d_thin"):
        res3d.load_weights(tiny(mask=False, keypoints=5), tmp_path / "d.safetensors")


def test_half_precision_keeps_boxes_and_scores_whole():
    model = tiny(keypoints=5).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (result,) = model([torch.rand(3, 2, 40, 56)])
    for name in ("boxes", "scores", "visible", "keypoints", "embeddings", "masks"):
        assert result[name].dtype == torch.float32, name
    losses = model.train()(clips(), [clip_targets(size, ["masks", "keypoints"]) for size in CLIPS])
    assert all(loss.dtype == torch.float32 for loss in losses.values())


def test_detect_gives_the_same_with_masks_one_at_a_time():
    model = tiny(keypoints=5).eval()
    shown = clips()
    with torch.no_grad():
        whole, held = model(shown), model.detect(shown)
    for a, b in zip(whole, held, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a if name != "masks")
        assert len(b["masks"]) == len(a["masks"])
        torch.testing.assert_close(b["masks"][1, 2], a["masks"][1, 2, 0])


def test_a_detector_knows_its_categories(tmp_path):
    names = tuple(Category(name=name, keypoints=("a", "b"), skeleton=((0, 1),)) for name in ("cat", "dog", "cat"))
    model = tiny(categories=names)
    assert model.categories == {1: names[0], 2: names[1], 3: names[2]}
    assert tiny().categories == {}
    res3d.save_weights(model, tmp_path / "d.safetensors")
    assert res3d.load_model(tmp_path / "d.safetensors").categories == model.categories
    with pytest.raises(ValueError, match="3 classes besides background, and 1 categories"):
        tiny(categories=names[:1])
