"""A detector loaded from a ``.pkl`` file in Detect-and-Track's layout: every part of its graph, and its +1 boxes."""

import pickle

import numpy as np
import pytest
import torch
from helpers.caffe2_peers import DetectAndTrack
from helpers.parity_peers import assert_close

import res3d
from res3d.detection import mask_rcnn_3d
from res3d.ops.roi_align import TubePooler

CLIP = (1, 3, 3, 96, 112)


def make_thin(reference: DetectAndTrack) -> None:
    """Keep an eighth of the channels of every layer, except for clips and predictions."""
    for blobs in (reference.blobs, reference.body.blobs):
        for name, blob in blobs.items():
            channels = tuple(n // 8 if n >= 64 else n for n in blob.shape[:2])
            gain = 8**0.5 if blob.ndim > 2 and channels[1] < blob.shape[1] else 1  # keeps the variance of the outputs
            blobs[name] = np.float32(gain) * blob[tuple(slice(n) for n in channels)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    reference = DetectAndTrack()
    path = tmp_path_factory.mktemp("weights") / "model_final.pkl"
    make_thin(reference)
    extra = {"conv_rpn_w_momentum": np.zeros(1, np.float32)}
    path.write_bytes(pickle.dumps({"blobs": reference.blobs | extra, "cfg": "text"}, protocol=2))
    heads = {"neck": "c4", "mask": False, "keypoints": reference.KEYPOINTS, "width": 0.125, "channels": 32}
    counts = {"rpn_post_nms_top_n_test": 100, "box_score_thresh": 1e-6}
    model = mask_rcnn_3d("resnet18_3d", reference.CLASSES, weights=path, min_size=96, **counts, **heads)
    return path, reference, model.eval()


@pytest.mark.slow
def test_the_report_accounts_for_every_blob(pair):
    path, _, model = pair
    report = res3d.load_weights(model, path)
    assert (report.layout, report.channel_order) == ("detect-and-track", "bgr")
    assert report.missing == report.unexpected == ()
    assert set(report.ignored) == {"conv_rpn_w_momentum", "kps_score_w", "kps_score_b"}
    kinds = {name.rsplit(".", 1)[1] for name in report.initialized if not name.startswith("box_head.visible")}
    assert kinds == {"running_mean", "running_var"}
    assert {"box_head.visible.weight", "box_head.visible.bias"} <= set(report.initialized)
    assert "box_head.stages.conv5.0.branch.a.conv.weight" in report.inflated, "its kernels have no time axis"
    assert {"backbone.conv4.1.branch.b.conv.weight", "tpn.convs.0.conv.weight"} <= set(report.loaded)


@pytest.mark.slow
@torch.no_grad()
def test_every_part_computes_the_same_as_the_blobs(pair):
    _, reference, model = pair
    clip = torch.rand(*CLIP)
    batch = model.transform(list(clip))
    mean = torch.tensor([102.9801, 115.9465, 122.7717]).view(1, 3, 1, 1, 1)  # Detectron's, in BGR order
    assert_close(batch.pixels[..., :96, :112], clip.flip(1) * 255 - mean)
    (conv4,) = model.neck(list(model.backbone(batch.pixels).values()), CLIP[2])
    expected = reference.conv4(batch.pixels)
    assert_close(conv4, expected)
    logits, deltas = reference.proposals(expected)
    predictions = model.tpn._predict(conv4)
    assert_close(predictions.objectness, logits.permute(0, 2, 3, 1).flatten(1))
    assert_close(predictions.deltas, deltas.permute(0, 4, 5, 1, 2, 3).flatten(1, 3))
    corners = torch.rand(6, 3, 2) * 50
    tubes = torch.cat([corners, corners + 10 + 30 * torch.rand(6, 3, 2)], dim=2)
    pool = TubePooler([conv4], (16,), offset=1)
    x = model.box_head.features(pool, [tubes])
    logits, deltas = reference.boxes(expected, tubes)
    assert_close(model.box_head.classes(x)[..., 0, 0].mean(dim=2), logits)
    assert_close(model.box_head._deltas(x), deltas)
    assert_close(model.keypoints_head(pool([tubes], 14)), reference.heatmaps(expected, tubes))


@pytest.mark.slow
def test_boxes_channels_and_anchors_follow_detectron(pair):
    _, _, model = pair
    assert model.spec.box_offset == 1
    assert model.spec.channel_order == "bgr"
    assert model.box_head.code.offset == model.tpn.code.offset == 1
    anchors = torch.cat(model.tpn.anchors([torch.zeros(1, 1)], (16, 16), torch.float64))
    assert len(anchors) == 12
    width, height = (anchors[:, 2:] - anchors[:, :2] + 1).T
    assert (width * height).sqrt().div(64).log2().round().unique().tolist() == [0, 1, 2, 3]
    assert ((anchors[:, :2] + anchors[:, 2:]) == 15).all(), "anchors are not centered on the first cell"


@pytest.mark.slow
@torch.no_grad()
def test_the_detector_returns_tubes_with_keypoints(pair):
    _, _, model = pair
    (result,) = model([torch.rand(3, 3, 96, 112)])
    assert result["keypoints"].shape[1:] == (3, 5, 3)
    assert len(result["scores"]) > 0
