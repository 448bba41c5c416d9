"""The detector as a whole: contract of its inputs and results, on tiny models."""

import pytest
import torch
from helpers.detectors import THIN, clip_targets, tiny_detector

import res3d
from res3d.detection import MaskRCNN3d
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
def test_results_have_the_contracts_shapes(keywords):
    model = tiny_detector(**keywords).eval()
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
    model = tiny_detector().eval()
    with torch.no_grad():
        for length in (1, 2, 7):
            (result,) = model([torch.rand(3, length, 40, 56)])
            assert result["boxes"].shape[1] == length


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"neck": "c4", "keypoints": 5}, {"design": "torchvision_v2"}])
def test_training_gives_losses_that_reach_every_parameter(keywords):
    model = tiny_detector(**keywords).train()
    heads = [name for name in ("masks", "keypoints") if name in {t.field for t in model.tasks.values()}]
    losses = model(clips(), [clip_targets(size, heads) for size in CLIPS])
    names = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_visible", "loss_mask"}
    assert set(losses) == names | ({"loss_keypoint"} if "keypoints" in keywords else set())
    assert all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"design": "torchvision_v2"}])
def test_clips_without_any_object_train(keywords):
    model = tiny_detector(**keywords).train()
    heads = [t.field for t in model.tasks.values()]
    for objects in ((0, 0), (2, 0)):
        targets = [clip_targets(size, heads, count=n) for size, n in zip(CLIPS, objects, strict=True)]
        losses = model(clips(), targets)
        assert all(torch.isfinite(loss) for loss in losses.values())
        sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(torch.isfinite(b).all() for b in model.buffers())


def test_no_proposal_at_all_is_no_trouble():
    model = tiny_detector(keypoints=5, rpn_score_thresh=1.0)
    targets = [clip_targets(size, ["masks", "keypoints"], count=0) for size in CLIPS]
    losses = model(clips(), targets)
    sum(losses.values()).backward()
    assert losses["loss_classifier"].item() == 0
    with torch.no_grad():
        assert [len(r["scores"]) for r in model.eval()(clips())] == [0, 0]


def test_frames_after_the_padding_of_a_hidden_object_teach_nothing():
    """What stands in a hidden frame's targets does not change the losses."""
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


def test_targets_are_checked_before_anything_else():
    model = tiny_detector()
    wrong = clip_targets(CLIPS[1], ["masks"])
    wrong["labels"][0] = 9
    with pytest.raises(ValueError, match=r"clip 1: labels must be in \[1, 4\)"):
        model(clips(), [clip_targets(CLIPS[0], ["masks"]), wrong])
    with pytest.raises(ValueError, match=r"clip 0: T, H and W must be ≥ 1"):
        model([torch.rand(3, 0, 40, 40)], None)
    with pytest.raises(ValueError, match=r"clip 0: pixels must be finite"):
        model.eval()([torch.full((3, 2, 40, 40), float("nan"))])


def test_a_frozen_backbone_stays_frozen():
    model = tiny_detector(freeze_at=2).train()
    assert model.backbone.frozen_stages == ("stem", "conv2")
    sum(model(clips(), [clip_targets(size, ["masks"]) for size in CLIPS]).values()).backward()
    assert model.backbone.stem.conv.weight.grad is None
    assert model.backbone.conv3[0].branch.a.conv.weight.grad is not None


def test_checkpointing_changes_nothing():
    shown, targets = clips(), [clip_targets(size, ["masks"]) for size in CLIPS]
    plain, checkpointed = tiny_detector().train(), tiny_detector(checkpoint_stages=["conv2", "conv4"]).train()
    saving = [
        name for name in checkpointed.spec.backbone.stage_names if getattr(checkpointed.backbone, name).checkpointed
    ]
    assert saving == ["conv2", "conv4"]
    checkpointed.load_state_dict(plain.state_dict())
    grads = []
    for model in (plain, checkpointed):
        torch.manual_seed(3)
        losses = model(shown, targets)
        sum(losses.values()).backward()
        grads.append([losses[name].item() for name in sorted(losses)] + [p.grad for p in model.parameters()])
    assert all(torch.allclose(torch.as_tensor(a), torch.as_tensor(b), atol=1e-6) for a, b in zip(*grads, strict=True))


def test_several_sizes_are_drawn_in_training_and_the_last_is_kept_for_use():
    model = tiny_detector(min_size=(32, 48, 64))
    batches = [model.train().transform([torch.rand(3, 2, 40, 40)]).sizes[0] for _ in range(40)]
    assert set(batches) == {(32, 32), (48, 48), (64, 64)}
    assert {model.eval().transform([torch.rand(3, 2, 40, 40)]).sizes[0] for _ in range(9)} == {(64, 64)}


@pytest.mark.parametrize("neck", ["fpn", "c4"])
def test_weights_of_a_backbone_go_where_its_stages_are(neck):
    """conv5 is the backbone's on a pyramid, and the box head's without one, with its kernel in time."""
    donor = res3d.create_backbone(THIN)
    model = tiny_detector(neck=neck, weights_backbone=donor.state_dict())
    head = model.backbone if neck == "fpn" else model.box_head.stages
    assert torch.equal(model.backbone.conv4[0].branch.a.conv.weight, donor.conv4[0].branch.a.conv.weight)
    assert torch.equal(head.conv5[0].branch.a.conv.weight, donor.conv5[0].branch.a.conv.weight)
    assert head.conv5[0].branch.a.conv.weight.shape[2] == 3


def test_image_weights_of_a_backbone_are_inflated_as_asked():
    flat = {
        k: v.mean(dim=2, keepdim=True) if v.dim() == 5 else v
        for k, v in res3d.create_backbone(THIN).state_dict().items()
    }
    center, mean = (
        tiny_detector(weights_backbone=flat, inflate=how).backbone.conv4[0].branch.a.conv.weight
        for how in ("center", "mean")
    )
    source = flat["conv4.0.branch.a.conv.weight"][:, :, 0]
    assert torch.equal(center[:, :, 1], source)
    assert center[:, :, 0].abs().max() == 0
    assert torch.allclose(mean[:, :, 0], source / 3)
    with pytest.raises(res3d.WeightsError, match="but not of this backbone"):
        tiny_detector(weights_backbone={k: v for k, v in flat.items() if not k.startswith("conv5")})


def test_a_temporal_kernel_is_that_of_everything():
    for frames in (1, 3, 5):
        model = tiny_detector(temporal_kernel=frames, keypoints=5)
        spans = (model.neck.output[0], model.tpn.convs, model.mask_head.convs, model.keypoints_head.convs)
        for part in spans:
            assert {m.kernel_size[0] for m in part.modules() if isinstance(m, torch.nn.Conv3d)} == {frames}
        assert model.box_head.fcs[0].kernel_size[0] == frames


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"temporal_kernel": 2}, "temporal_kernel must be an odd number of frames, not 2"),
        ({"temporal_kernel": 0}, "temporal_kernel must be an odd number of frames, not 0"),
        ({"anchor_sizes": ((32,), (64,))}, r"anchor_sizes must be a list of whole pixels like \[32, 64, ...\]"),
        ({"anchor_sizes": ()}, "anchor_sizes must be a list of whole pixels"),
        ({"channels": True}, "channels must be a whole number ≥ 1, not True"),
        ({"keypoints": True}, "keypoints must be a whole number ≥ 1, not True"),
        ({"inflate": "centre"}, "inflate must be one of 'center'"),
        ({"design": "detect_and_track"}, "detectors of design detect-and-track have neck 'c4', not 'fpn'"),
        ({"min_size": ()}, r"min_size must be whole numbers ≥ 1, not \(\)"),
        ({"max_size": (10, 20)}, r"max_size must be a whole number ≥ 1, not \(10, 20\)"),
        ({"min_size": True}, "min_size must be a whole number ≥ 1, not True"),
        ({"image_mean": 0.5}, "image_mean must be numbers, not 0.5"),
        ({"image_std": (float("nan"),) * 3}, "image_std must be numbers > 0"),
        ({"bbox_reg_weights": None}, "bbox_reg_weights must be numbers > 0, not None"),
    ],
)
def test_keywords_that_are_none_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        tiny_detector(**keywords)


def test_lists_from_a_config_are_as_good_as_tuples():
    settings = tiny_detector(min_size=[32, 48], image_mean=[0.5, 0.5, 0.5]).settings
    assert (settings.min_size, settings.image_mean) == ((32, 48), (0.5, 0.5, 0.5))


def test_damaged_weights_do_not_find_nothing_in_silence():
    model = tiny_detector().eval()
    with torch.no_grad():
        model.backbone.conv3[0].branch.a.conv.weight[0] = float("nan")
    with pytest.raises(FloatingPointError, match="objectness is not finite"):
        model(clips())
    model = tiny_detector().eval()
    with torch.no_grad():
        model.box_head.classes.bias[1] = float("nan")
    with pytest.raises(FloatingPointError, match="scores of classes are not finite"):
        model(clips())


def test_masks_and_keypoints_of_a_frame_are_that_frames():
    """With a kernel of 1 in time a clip of different frames has, in each frame, what that frame alone has."""
    model = tiny_detector(keypoints=5, temporal_kernel=1).eval()
    clip, boxes = torch.rand(3, 4, 64, 96), torch.tensor([[8.0, 8, 40, 40], [30, 10, 90, 60]])[:, None].repeat(1, 4, 1)
    boxes = boxes + 2 * torch.arange(4)[None, :, None]

    def predict(frames: slice) -> dict[str, torch.Tensor]:
        batch = model.transform([clip[:, frames]])
        levels = model._levels(model.backbone(batch.pixels), batch)
        pool, _, _ = model._propose(levels, batch, None)
        count = batch.pixels.shape[2]
        found = BoxDetections(
            boxes=boxes[:, frames],
            visible=torch.ones(2, count),
            scores=torch.ones(2),
            labels=torch.tensor([1, 2]),
            embeddings=torch.ones(2, 4),
        )
        features = model._features(pool, [found.boxes])
        return {
            k: v for task in model.tasks.values() for k, v in task.predict(features[task.roi_size], [found])[0].items()
        }

    with torch.no_grad():
        whole = predict(slice(0, 4))
        for t in range(4):
            alone = predict(slice(t, t + 1))
            assert torch.allclose(whole["masks"][:, t], alone["masks"][:, 0], atol=1e-5)
            assert torch.allclose(whole["keypoints"][:, t], alone["keypoints"][:, 0], atol=1e-3)
            assert torch.allclose(whole["keypoints_scores"][:, t], alone["keypoints_scores"][:, 0], atol=1e-4)
    assert not torch.allclose(whole["masks"][:, 0], whole["masks"][:, 3], atol=1e-2)


def test_embeddings_are_means_weighted_by_visibility():
    head = tiny_detector().box_head
    x, settings = torch.rand(5, 32, 3, 1, 1), {"visible": torch.tensor([[1.0, 0, 0.5]]).repeat(5, 1)}
    scores = torch.full((5, 4), 0.05)
    scores[torch.arange(5), [1, 2, 3, 1, 2]] = 0.85
    tubes = (torch.tensor([0.0, 0, 20, 20]) + 21 * torch.arange(5)[:, None])[:, None].repeat(1, 3, 1)
    found = head._detect(x, scores, torch.zeros(5, 4, 3, 4), settings["visible"], tubes, (200, 200))
    expected = (x[..., 0, 0] * torch.tensor([1.0, 0, 0.5])).sum(dim=2)
    expected = expected / expected.norm(dim=1, keepdim=True)
    best = found.embeddings[found.scores > 0.5]
    assert len(best) == 5
    assert (best @ expected.T > 0.99999).any(dim=0).all()


def test_boxes_that_name_their_last_pixel_are_cut_to_it():
    """Detectron's convention: the last column of a frame 96 wide is 95."""
    original, ours = (
        tiny_detector(neck="c4", design=design, mask=False) for design in ("detect_and_track", "torchvision")
    )
    frames = torch.rand(3, 2, 64, 96)
    for model, right, bottom in ((original, 95, 63), (ours, 96, 64)):
        with torch.no_grad():
            model.box_head.deltas.weight.zero_()
            model.box_head.deltas.bias.view(-1, 4)[:, 2:] = 15  # boxes grow e³ times, beyond the frame
            (found,) = model.eval()([frames])
        assert found["boxes"][..., 2].max() == right
        assert found["boxes"][..., 3].max() == bottom


def test_detect_is_for_eval_mode():
    with pytest.raises(ValueError, match="detect is for models in eval mode"):
        tiny_detector().train().detect(clips())


def test_a_file_of_other_conventions_is_refused(tmp_path):
    """The same tensors, boxes that name their last pixel, and BGR: loaded, they would find other things."""
    original = tiny_detector(neck="c4", design="detect_and_track", mask=False)
    res3d.save_weights(original, tmp_path / "d.safetensors")
    sides = original.spec.proposals.anchors.sizes[0]
    with pytest.raises(res3d.WeightsError, match=r"was saved with box_offset = 1, not 0 .*load_detector rebuilds it"):
        tiny_detector(neck="c4", mask=False, anchor_sizes=sides, weights=tmp_path / "d.safetensors")
    twin = tiny_detector(neck="c4", design="detect_and_track", mask=False)
    assert res3d.load_weights(twin, tmp_path / "d.safetensors").missing == ()
    other = tiny_detector(neck="c4", design="detect_and_track", mask=False, image_std=(1.0, 1.0, 1.0))
    with pytest.raises(res3d.WeightsError, match=r"was saved with image_std = "):
        res3d.load_weights(other, tmp_path / "d.safetensors")


@pytest.mark.parametrize("keywords", [{"keypoints": 5}, {"neck": "c4", "design": "detect_and_track"}])
def test_a_saved_file_rebuilds_the_detector(tmp_path, keywords):
    model = tiny_detector(box_nms_thresh=0.4, **keywords).eval()
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
    model = tiny_detector()
    res3d.save_weights(model, tmp_path / "d.safetensors")
    with pytest.raises(res3d.WeightsError, match="res3d detector weights, but not of this resnet10_3d_thin"):
        res3d.load_weights(tiny_detector(mask=False, keypoints=5), tmp_path / "d.safetensors")


def test_half_precision_keeps_boxes_and_scores_whole():
    model = tiny_detector(keypoints=5).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (result,) = model([torch.rand(3, 2, 40, 56)])
    for name in ("boxes", "scores", "visible", "keypoints", "embeddings", "masks"):
        assert result[name].dtype == torch.float32, name
    losses = model.train()(clips(), [clip_targets(size, ["masks", "keypoints"]) for size in CLIPS])
    assert all(loss.dtype == torch.float32 for loss in losses.values())


def test_detect_gives_the_same_with_masks_one_at_a_time():
    model = tiny_detector(keypoints=5).eval()
    shown = clips()
    with torch.no_grad():
        whole, held = model(shown), model.detect(shown)
    for a, b in zip(whole, held, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a if name != "masks")
        assert len(b["masks"]) == len(a["masks"])
        torch.testing.assert_close(b["masks"][1, 2], a["masks"][1, 2, 0])


@pytest.mark.parametrize("keywords", [{"keypoints": 5, "min_size": 48}, {"neck": "c4"}])
@pytest.mark.parametrize("stages", [2, 5])
def test_a_detector_resumes_behind_the_maps_of_leading_stages(keywords, stages):
    """Losses and results are the same; the sizes of the clips are enough, and draw what the clips draw."""
    model, shown = tiny_detector(**keywords).eval(), clips()
    heads = [task.field for task in model.tasks.values()]
    targets, sizes = [clip_targets(size, heads) for size in CLIPS], [size[1:] for size in CLIPS]
    with torch.no_grad():
        maps = model.backbone.leading_maps(model.transform(shown).pixels, stages)
        for result, again in zip(model(shown), model.resume(maps, sizes), strict=True):
            assert all(torch.equal(result[name], again[name]) for name in result)
        model.training = True  # losses without the noise of batch statistics
        torch.manual_seed(5)
        losses = model(shown, targets)
        torch.manual_seed(5)
        assert model.resume(maps, sizes, targets) == losses
    with pytest.raises(ValueError, match=r"1 sizes, and the map of .* is of 2 clips"):
        model.resume(maps, sizes[:1], targets[:1])


def test_dense_parts_are_all_but_the_heads():
    model, flat = tiny_detector(), tiny_detector(neck="c4")
    assert list(model.dense_parts()) == [model.backbone, model.neck, model.tpn.convs]
    assert list(flat.dense_parts()) == [flat.backbone, flat.tpn.convs]


def test_a_detector_knows_its_categories(tmp_path):
    names = tuple(Category(name=name, keypoints=("a", "b"), skeleton=((0, 1),)) for name in ("cat", "dog", "cat"))
    model = tiny_detector(categories=names)
    assert model.categories == {1: names[0], 2: names[1], 3: names[2]}
    assert tiny_detector().categories == {}
    res3d.save_weights(model, tmp_path / "d.safetensors")
    assert res3d.load_model(tmp_path / "d.safetensors").categories == model.categories
    with pytest.raises(ValueError, match="3 classes besides background, and 1 categories"):
        tiny_detector(categories=names[:1])
