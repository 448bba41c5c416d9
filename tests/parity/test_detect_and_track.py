"""Detect-and-Track's detector from a made ``.pkl``: every part that its graph has, and its +1 boxes."""

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


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    theirs = DetectAndTrack()
    path = tmp_path_factory.mktemp("weights") / "model_final.pkl"
    extra = {"conv_rpn_w_momentum": np.zeros(1, np.float32)}
    path.write_bytes(pickle.dumps({"blobs": theirs.blobs | extra, "cfg": "text"}, protocol=2))
    heads = {"neck": "c4", "mask": False, "keypoints": theirs.KEYPOINTS}
    ours = mask_rcnn_3d("resnet18_3d", theirs.CLASSES, weights=path, min_size=96, box_score_thresh=1e-6, **heads)
    return path, theirs, ours.eval()


def test_the_report_accounts_for_every_blob(pair):
    path, _, ours = pair
    report = res3d.load_weights(ours, path)
    assert (report.layout, report.channel_order) == ("detect-and-track", "bgr")
    assert report.missing == report.unexpected == ()
    assert set(report.ignored) == {"conv_rpn_w_momentum", "kps_score_w", "kps_score_b"}
    kinds = {name.rsplit(".", 1)[1] for name in report.initialized if not name.startswith("box_head.visible")}
    assert kinds == {"running_mean", "running_var"}
    assert {"box_head.visible.weight", "box_head.visible.bias"} <= set(report.initialized)
    assert "box_head.stages.conv5.0.branch.a.conv.weight" in report.inflated, "it sees single frames"
    assert {"backbone.conv4.1.branch.b.conv.weight", "tpn.convs.0.conv.weight"} <= set(report.loaded)


@torch.no_grad()
def test_every_part_computes_what_the_blobs_do(pair):
    _, theirs, ours = pair
    clip = torch.rand(*CLIP)
    batch = ours.transform(list(clip))
    mean = torch.tensor([102.9801, 115.9465, 122.7717]).view(1, 3, 1, 1, 1)  # of BGR, Detectron's
    assert_close(batch.pixels[..., :96, :112], clip.flip(1) * 255 - mean)
    (conv4,) = ours.neck(list(ours.backbone(batch.pixels).values()), CLIP[2])
    expected = theirs.conv4(batch.pixels)
    assert_close(conv4, expected)
    logits, deltas = theirs.proposals(expected)
    found = ours.tpn._predict(conv4)
    assert_close(found.objectness, logits.permute(0, 2, 3, 1).flatten(1))
    assert_close(found.deltas, deltas.permute(0, 4, 5, 1, 2, 3).flatten(1, 3))
    corners = torch.rand(6, 3, 2) * 50
    tubes = torch.cat([corners, corners + 10 + 30 * torch.rand(6, 3, 2)], dim=2)
    pool = TubePooler([conv4], (16,), offset=1)
    x = ours.box_head.features(pool, [tubes])
    logits, deltas = theirs.boxes(expected, tubes)
    assert_close(ours.box_head.classes(x)[..., 0, 0].mean(dim=2), logits)
    assert_close(ours.box_head._deltas(x), deltas)
    assert_close(ours.keypoints_head(pool([tubes], 14)), theirs.heatmaps(expected, tubes))


def test_its_conventions_are_data(pair):
    _, _, ours = pair
    assert ours.spec.box_offset == 1
    assert ours.spec.channel_order == "bgr"
    assert ours.box_head.code.offset == ours.tpn.code.offset == 1
    anchors = torch.cat(ours.tpn.anchors([torch.zeros(1, 1)], (16, 16), torch.float64))
    assert len(anchors) == 12
    width, height = (anchors[:, 2:] - anchors[:, :2] + 1).T
    assert (width * height).sqrt().div(64).log2().round().unique().tolist() == [0, 1, 2, 3]
    assert ((anchors[:, :2] + anchors[:, 2:]) == 15).all(), "around the middle of the first cell"


@torch.no_grad()
def test_it_runs_as_a_whole(pair):
    _, _, ours = pair
    (result,) = ours([torch.rand(3, 3, 96, 112)])
    assert result["keypoints"].shape[1:] == (3, 5, 3)
    assert len(result["scores"]) > 0
