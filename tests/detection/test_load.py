"""``load_detector``: files of res3d and of torchvision, and errors."""

import pytest
import torch
from helpers.detectors import tiny_detector
from torchvision.models import detection

import res3d
from res3d.detection import load_detector
from res3d.structures import COCO_PERSON
from res3d.weights import WeightsError


def torchvision_state(name: str, num_classes: int) -> dict[str, torch.Tensor]:
    """Return a state dict of a detector of torchvision: random weights of the first convolution, else zeros.

    Zeros are expanded from one number, so that building and saving a detector of ResNet-50 takes no time.
    """
    with torch.device("meta"):
        peer = getattr(detection, name)(num_classes=num_classes, weights=None, weights_backbone=None)
    state = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in peer.state_dict().items()}
    return {**state, "backbone.body.conv1.weight": torch.randn(64, 3, 7, 7)}


@pytest.fixture
def no_random_weights(monkeypatch):
    """Skip the random initialization of layers, which takes longest in large models whose weights are loaded anyway."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **keywords: tensor)


def test_saved_detector_loads_with_other_settings(tmp_path):
    model = tiny_detector().eval()
    res3d.save_weights(model, tmp_path / "d.safetensors")
    loaded = load_detector(tmp_path / "d.safetensors").eval()
    assert (loaded.spec, loaded.settings) == (model.spec, model.settings)
    limited = load_detector(tmp_path / "d.safetensors", box_detections_per_img=2).eval()
    clip = torch.rand(3, 3, 40, 56)
    with torch.no_grad():
        (expected,), (result,), (first_two,) = model([clip]), loaded([clip]), limited([clip])
    assert torch.equal(result["boxes"], expected["boxes"])
    assert torch.equal(first_two["boxes"], expected["boxes"][:2])
    with pytest.raises(ValueError, match="defines its backbone and norms: backbone and norm_eps must be None"):
        load_detector(tmp_path / "d.safetensors", backbone="resnet18_3d")


@pytest.mark.parametrize(
    ("name", "classes", "tasks"),
    [
        ("fasterrcnn_resnet50_fpn", 5, []),
        ("maskrcnn_resnet50_fpn_v2", 4, ["mask"]),
        ("keypointrcnn_resnet50_fpn", 2, ["keypoints"]),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("no_random_weights")
def test_torchvision_files_define_classes_and_heads(tmp_path, name, classes, tasks):
    state = torchvision_state(name, classes)
    torch.save(state, tmp_path / "peer.pth")
    model = load_detector(tmp_path / "peer.pth", min_size=64)
    assert (model.spec.num_classes, list(model.spec.tasks), model.settings.min_size) == (classes, tasks, 64)
    assert model.spec.categories == ((COCO_PERSON,) if tasks == ["keypoints"] else ())
    kernels = {m.kernel_size[0] for m in model.modules() if isinstance(m, torch.nn.Conv3d)}
    assert kernels == {1}
    assert torch.equal(model.backbone.stem.conv.weight[:, :, 0], state["backbone.body.conv1.weight"])


def test_weights_without_a_detector_are_refused(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "backbone.safetensors")
    with pytest.raises(WeightsError, match="holds a ResNet3d, not a detector"):
        load_detector(tmp_path / "backbone.safetensors")
    prefix = "backbone.body."
    state = torchvision_state("fasterrcnn_resnet50_fpn", 3)
    body = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    torch.save(body, tmp_path / "body.pth")
    with pytest.raises(WeightsError, match="weights without a detector"):
        load_detector(tmp_path / "body.pth")
    with pytest.raises(ValueError, match="unknown option 'min_sise'; did you mean 'min_size'"):
        load_detector(tmp_path / "body.pth", min_sise=3)
    with pytest.raises(FileNotFoundError):
        load_detector(tmp_path / "missing.pth")
