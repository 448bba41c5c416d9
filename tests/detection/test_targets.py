import pytest
import torch

from res3d.detection.targets import TargetField, check_clips, check_sizes, check_targets

T, H, W = 3, 20, 30
SIZE = (T, H, W)
FIELDS = {"masks": TargetField("N T H W", "binary"), "keypoints": TargetField("N T 5 3", "coordinates")}
CPU = torch.device("cpu")


def clip() -> torch.Tensor:
    return torch.rand(3, T, H, W)


def target(**changes) -> dict[str, torch.Tensor]:
    boxes = torch.tensor([2.0, 3, 12, 15]).expand(2, T, 4).clone()
    defaults = {
        "boxes": boxes,
        "visible": torch.ones(2, T, dtype=torch.bool),
        "labels": torch.tensor([1, 3]),
        "track_ids": torch.tensor([7, 8]),
        "masks": torch.ones(2, T, H, W, dtype=torch.bool),
        "keypoints": torch.rand(2, T, 5, 3) * 10,
    }
    return {name: value for name, value in {**defaults, **changes}.items() if value is not None}


def with_value(field: str, index: tuple[int, ...], value: float) -> dict[str, torch.Tensor]:
    changed = target()
    changed[field][index] = value
    return changed


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "clips must be a list of at least one"),
        ([clip(), torch.rand(3, H, W)], r"clip 1: must be \[3, T, H, W\], not \[3, 20, 30\]"),
        ([torch.rand(1, T, H, W)], r"clip 0: must be \[3, T, H, W\], not \[1, 3, 20, 30\]"),
        (["video.mp4"], r"clip 0: must be \[3, T, H, W\], not str"),
        ([torch.zeros(3, T, H, W, dtype=torch.uint8)], r"clip 0: must be float in 0..1, not uint8"),
        ([torch.rand(3, 0, H, W)], r"clip 0: T, H and W must be ≥ 1, not \[0, 20, 30\]"),
        ([clip(), torch.rand(3, 5, H, W)], r"clip 1: all clips of a call must have one length T, not \[3, 5\]"),
        ([clip().double()], r"clip 0: must be torch.float32 like the model, not torch.float64"),
        ([clip(), clip() / 0], r"clip 1: pixels must be finite, and some are NaN or infinite"),
    ],
)
def test_invalid_clips_are_refused(clips, message):
    with pytest.raises(ValueError, match=message):
        check_clips(clips, 3, torch.float32)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], r"sizes must hold \(T, height, width\) of at least one clip"),
        ([SIZE, (T, H)], r"clip 1: size must be \(T, height, width\), each ≥ 1, not \(3, 20\)"),
        ([(T, 0, W)], r"clip 0: size must be \(T, height, width\), each ≥ 1, not \(3, 0, 30\)"),
        ([SIZE, (5, H, W)], r"clip 1: all clips of a call must have one length T, not \[3, 5\]"),
    ],
)
def test_invalid_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        check_sizes(sizes)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (target(boxes=torch.rand(2, 4)), r"clip 1: boxes must be \[N, T, 4\] with N = 2, T = 3, not \[2, 4\]"),
        (target(boxes=torch.rand(2, 4, 4)), r"clip 1: boxes must be \[N, T, 4\] with N = 2, T = 3, not \[2, 4, 4\]"),
        (target(boxes=[[1, 2, 3, 4]]), r"clip 1: boxes must be \[N, T, 4\] with N = 2, T = 3, not list"),
        (target(boxes=target()["boxes"].long()), r"clip 1: boxes must be float, not torch.int64"),
        (target(visible=torch.ones(2, T)), r"clip 1: visible must be bool, not torch.float32"),
        (target(visible=None), "clip 1: visible is missing"),
        (target(masks=None), "clip 1: masks is missing"),
        (target(masks=torch.ones(2, T, W, H)), r"clip 1: masks must be \[N, T, H, W\] with N = 2, T = 3, H = 20"),
        (target(keypoints=torch.rand(2, T, 4, 3)), r"clip 1: keypoints must be \[N, T, 5, 3\].*not \[2, 3, 4, 3\]"),
        (target(labels=torch.tensor([1])), r"clip 1: boxes must be \[N, T, 4\] with N = 1"),
        (target(labels=torch.tensor([1, 4])), r"clip 1: labels must be in \[1, 4\), not \[1, 4\]"),
        (target(labels=torch.tensor([0, 2])), r"clip 1: labels must be in \[1, 4\), not \[0, 2\]"),
        (target(labels=torch.tensor([1.0, 2.0])), r"clip 1: labels must be int64, not torch.float32"),
        (
            target(poses=torch.rand(2)),
            r"clip 1: 'poses' is not a target of this model \(accepted: boxes, visible, labels",
        ),
        (
            with_value("boxes", (1, 2, 2), 2.0),
            r"clip 1: boxes must have x1 < x2 .* not \[2.0, 3.0, 2.0, 15.0\] \(object 1",
        ),
        (with_value("boxes", (0, 1, 0), float("nan")), "clip 1: boxes must be finite where visible"),
        (target(masks=torch.full((2, T, H, W), 0.5)), "clip 1: masks must be bool, or 0 and 1, not torch.float32 with"),
        (with_value("keypoints", (0, 1, 3, 0), float("inf")), "clip 1: keypoints must be finite where visible"),
    ],
)
def test_invalid_targets_are_refused(second, message):
    with pytest.raises(ValueError, match=message):
        check_targets([SIZE, SIZE], [target(), second], FIELDS, num_classes=4, device=CPU)


def test_masks_are_refused_without_a_mask_head():
    with pytest.raises(ValueError, match=r"clip 0: 'masks' is not a target of this model \(accepted: boxes"):
        check_targets([SIZE], [target(keypoints=None)], {}, num_classes=4, device=CPU)


@pytest.mark.parametrize(("targets", "count"), [(None, "no"), ([], "0")])
def test_every_clip_needs_a_target(targets, count):
    with pytest.raises(ValueError, match=f"training needs one target per clip: 1 clips, {count} targets"):
        check_targets([SIZE], targets, FIELDS, num_classes=4, device=CPU)


def test_hidden_frames_are_not_checked_and_boxes_may_extend_beyond_the_frame():
    accepted = target()
    accepted["visible"][0, 1] = False
    accepted["boxes"][0, 1] = float("nan")
    accepted["keypoints"][0, 1] = float("nan")
    accepted["boxes"][1] = torch.tensor([-9.0, -9, 90, 90])
    (checked,) = check_targets([SIZE], [accepted], FIELDS, num_classes=4, device=CPU)
    assert torch.equal(checked.boxes[1], accepted["boxes"][1])


def test_objects_that_are_never_visible_are_dropped():
    hidden = target()
    hidden["visible"][0] = False
    (checked,) = check_targets([SIZE], [hidden], FIELDS, num_classes=4, device=CPU)
    assert checked.labels.tolist() == [3]
    assert checked.boxes.shape == (1, T, 4)
    assert {name: len(value) for name, value in checked.extra.items()} == {"masks": 1, "keypoints": 1}
