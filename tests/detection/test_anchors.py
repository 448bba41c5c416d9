import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from res3d.detection.anchors import Anchors, AnchorSpec


@pytest.mark.parametrize("size", [(96, 160), (224, 224)])
def test_corner_anchors_equal_torchvision(size):
    """A stride of 64 does not divide the frame height of 96: that level has 2 locations, which are 48 pixels apart."""
    spec = AnchorSpec()
    maps = [torch.zeros(1, 2, 3, -(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32, 64)]
    generator = AnchorGenerator(spec.sizes, (spec.ratios,) * 5)
    expected = generator(ImageList(torch.zeros(1, 3, *size), [size]), [m[:, :, 0] for m in maps])[0]
    anchors = Anchors(spec, (4, 8, 16, 32, 64))(maps, size, torch.float32)
    assert torch.equal(torch.cat(anchors), expected)


def test_cell_anchors_equal_fast_rcnn():
    """The table at the top of Fast R-CNN's generate_anchors.py, which counts from 1 and includes the last pixel."""
    published = [
        *([-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200]),
        *([-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264]),
        *([-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360]),
    ]
    spec = AnchorSpec(sizes=((128, 256, 512),), placement="cell")
    (anchors,) = Anchors(spec, (16,))([torch.zeros(1, 2)], (16, 32), torch.float64)
    assert (anchors[:9] + 1).tolist() == published
    assert (anchors[9:] - anchors[:9]).unique(dim=0).tolist() == [[16, 0, 16, 0]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": ()}, r"anchor sizes must be one or more sides > 0 \(pixels\) per level, not \(\)"),
        ({"sizes": ((32,), (0,))}, "anchor sizes must be one or more sides > 0"),
        ({"sizes": ((32,), (64, 128))}, "anchor sizes must have equally many sides at every level"),
        ({"ratios": (0.5, -1.0)}, r"anchor ratios must be > 0, not \(0.5, -1.0\)"),
        ({"placement": "center"}, "anchor placement must be 'corner' or 'cell', not 'center'"),
    ],
)
def test_invalid_spec_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AnchorSpec(**fields)


def test_anchor_sizes_must_match_feature_levels():
    with pytest.raises(ValueError, match="anchor sizes must have 2 feature levels, not 5"):
        Anchors(AnchorSpec(), (4, 8))
