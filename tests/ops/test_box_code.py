import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.models.detection._utils import BoxCoder

from res3d.ops.box_code import MAX_GROWTH, BoxCode

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def test_each_frame_is_coded_as_by_torchvision():
    boxes, references = random_tubes(9, 3), random_tubes(9, 3)
    coder, code = BoxCoder(WEIGHTS), BoxCode(weights=WEIGHTS)
    deltas = code.encode(boxes, references)
    large_deltas = torch.randn(9, 3, 4) * 20
    decoded = code.decode(large_deltas, references)
    for t in range(3):
        assert torch.equal(deltas[:, t], coder.encode_single(boxes[:, t], references[:, t]))
        assert torch.equal(decoded[:, t], coder.decode_single(large_deltas[:, t], references[:, t]).view(9, 4))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), WEIGHTS])
def test_decoding_undoes_encoding(weights):
    boxes, references = random_tubes(9, 3, dtype=torch.float64), random_tubes(9, 3, dtype=torch.float64)
    code = BoxCode(weights=weights)
    torch.testing.assert_close(code.decode(code.encode(boxes, references), references), boxes)


def test_with_offset_1_decoded_boxes_are_a_pixel_wider_as_in_detectron():
    boxes, references = random_tubes(9, 3, dtype=torch.float64), random_tubes(9, 3, dtype=torch.float64)
    code = BoxCode(weights=WEIGHTS, offset=1)
    wider = boxes + boxes.new_tensor([0, 0, 1, 1])
    torch.testing.assert_close(code.decode(code.encode(boxes, references), references), wider)
    one = code.encode(torch.tensor([3.0, 4, 12, 23]), torch.tensor([1.0, 2, 5, 11]))
    expected = [10 * (8 - 3.5) / 5, 10 * (14 - 7) / 10, 5 * torch.log(torch.tensor(2.0)).item(), 5 * 0.693147]
    assert one.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_decoded_box_grows_at_most_62_5_times():
    box = BoxCode().decode(torch.tensor([0.0, 0, 99, 99]), torch.tensor([0.0, 0, 2, 2]))
    assert (box[2] - box[0]).item() == pytest.approx(2 * 62.5)
    assert torch.exp(torch.tensor(MAX_GROWTH)).item() == pytest.approx(62.5)
