"""Training on classes that differ only by motion: a short version of tools/experiments/detector_learning.py."""

import pytest
import torch
from helpers.detectors import THIN

from res3d.data import SyntheticClips
from res3d.detection import MaskRCNN3d, mask_rcnn_3d
from res3d.evaluation import score_tubes

STEPS, CLIPS = 210, 4  # CLIPS: clips per step
TARGETS = ("boxes", "visible", "labels")


def clips(seed: int) -> SyntheticClips:
    """Clips whose classes are directions of motion, which a single frame does not show."""
    return SyntheticClips(seed=seed, num_clips=10_000, labels="heading", side=48, length=5, objects=(2, 2))


def train(model: MaskRCNN3d, data: SyntheticClips) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters())
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 20)
        batch, targets = zip(*(data[CLIPS * step + n] for n in range(CLIPS)), strict=True)
        losses = model(batch, [{name: target[name] for name in TARGETS} for target in targets])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()


@pytest.mark.usefixtures("one_thread")
def test_training_learns_directions_of_motion():
    """The same detector with a temporal kernel of 1 reaches a tube AP50 of 0.15 to 0.19 here, in 3D 0.4 to 0.6."""
    torch.manual_seed(0)
    model = mask_rcnn_3d(
        THIN,
        5,
        mask=False,
        width=2.0,
        channels=16,
        anchor_sizes=(8, 16, 32, 64, 96),
        min_size=48,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        rpn_pre_nms_top_n_train=60,
        rpn_post_nms_top_n_train=40,
        rpn_pre_nms_top_n_test=60,
        rpn_post_nms_top_n_test=30,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=16,
        box_detections_per_img=6,
    )
    train(model, clips(seed=0))
    validation = [clips(seed=999)[n] for n in range(40)]
    with torch.no_grad():
        results = [model.eval()([clip])[0] for clip, _ in validation]
    scores = score_tubes(results, [target for _, target in validation])
    assert scores.box_ap > 0.3
    assert scores.recall > 0.5
    assert scores.visibility_error < 0.1
