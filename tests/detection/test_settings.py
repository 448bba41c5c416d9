import pytest

from res3d.detection import DetectorSettings


def test_settings_accept_lists():
    settings = DetectorSettings(min_size=[32, 48], image_mean=[0.5, 0.5, 0.5])
    assert (settings.min_size, settings.image_mean) == ((32, 48), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_size": ()}, r"min_size must be whole numbers ≥ 1, not \(\)"),
        ({"min_size": True}, "min_size must be a whole number ≥ 1, not True"),
        ({"max_size": (10, 20)}, r"max_size must be a whole number ≥ 1, not \(10, 20\)"),
        ({"box_detections_per_img": 0}, "box_detections_per_img must be a whole number ≥ 1, not 0"),
        ({"image_mean": 0.5}, "image_mean must be numbers, not 0.5"),
        ({"image_std": (float("nan"),) * 3}, "image_std must be numbers > 0"),
        ({"image_mean": (0.5,)}, "image_mean and image_std must be equally many numbers, one per channel, not 1 and 3"),
        ({"bbox_reg_weights": None}, "bbox_reg_weights must be numbers > 0, not None"),
        ({"bbox_reg_weights": (1.0, 2.0)}, r"bbox_reg_weights must be 4 numbers, not \(1.0, 2.0\)"),
        ({"box_nms_thresh": 1.5}, r"box_nms_thresh must be in \[0, 1\], not 1.5"),
        ({"rpn_positive_fraction": "half"}, r"rpn_positive_fraction must be in \[0, 1\], not 'half'"),
        ({"rpn_bg_iou_thresh": 0.6}, "rpn_bg_iou_thresh must be ≤ rpn_fg_iou_thresh, not 0.6 > 0.4"),
    ],
)
def test_invalid_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        DetectorSettings(**fields)
