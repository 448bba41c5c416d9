import pytest
import torch
import torchvision
from helpers.parity_peers import HaraResNet, randomize

import res3d
from res3d.cli import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Checkpoint file of a torchvision classifier, and the classifier."""
    path = tmp_path_factory.mktemp("checkpoint") / "in.pth"
    network = randomize(torchvision.models.resnet18(num_classes=4))
    torch.save({"state_dict": network.state_dict()}, path)
    return path, network


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


@pytest.mark.slow
def test_converted_file_rebuilds_the_model(checkpoint, tmp_path, capsys):
    path, network = checkpoint
    out = tmp_path / "out.safetensors"
    assert convert(path, out, "--model", "resnet18_3d") == 0
    printed = capsys.readouterr().out
    assert "layout torchvision resnet" in printed
    assert "inflated" in printed
    assert "a classifier of 4 classes" in printed
    model = res3d.load_model(out)
    assert torch.equal(model.fc.weight, network.fc.weight)
    assert torch.equal(model.backbone.stem.conv.weight[:, :, 0], network.conv1.weight)


@pytest.mark.slow
def test_every_option_reaches_the_loader(checkpoint, tmp_path):
    path, network = checkpoint
    out = tmp_path / "out.safetensors"
    flags = [
        "--head",
        "drop",
        "--inflate",
        "mean",
        "--channels",
        "reverse",
        "--norm",
        "frozen_batch",
        "--norm-eps",
        "0.001",
    ]
    assert convert(path, out, "--model", "resnet18_3d", *flags) == 0
    model = res3d.load_model(out)
    assert isinstance(model, res3d.ResNet3d)
    assert model.spec.norm.kind == "frozen_batch"
    assert model.spec.norm.eps == model.stem.norm.eps == 0.001
    assert torch.equal(model.stem.conv.weight[:, :, 0], network.conv1.weight.flip(1))
    inflated = model.get_submodule("conv3.1.branch.a.conv").weight
    torch.testing.assert_close(inflated[:, :, 0], network.layer2[1].conv1.weight / 3)


@pytest.mark.slow
def test_shortcut_and_stride_on_change_the_backbone(tmp_path, capsys):
    torch.save(randomize(HaraResNet(10, "A", 4)).state_dict(), tmp_path / "a.pth")
    out = tmp_path / "a.safetensors"
    assert convert(tmp_path / "a.pth", out, "--model", "hara_resnet10") == 1
    assert "missing" in capsys.readouterr().err
    assert not out.exists()
    assert convert(tmp_path / "a.pth", out, "--model", "hara_resnet10", "--shortcut", "pool_pad") == 0
    torch.save(torchvision.models.resnet50().state_dict(), tmp_path / "r50.pth")
    assert (
        convert(tmp_path / "r50.pth", tmp_path / "b.safetensors", "--model", "resnet50_3d", "--stride-on", "1x1") == 1
    )
    assert "stride on the 3x3 convolution" in capsys.readouterr().err


@pytest.mark.slow
def test_invalid_input_gives_one_line_and_writes_nothing(checkpoint, tmp_path, capsys):
    path, _ = checkpoint
    out = tmp_path / "out.safetensors"
    (tmp_path / "bad.pth").write_text("no weights")
    (tmp_path / "bad.npz").write_text("no weights")
    (tmp_path / "taken.safetensors").write_text("mine")
    model = ["--model", "resnet18_3d"]
    for arguments, code, message in (
        ([path], 2, "needs two paths, IN and OUT, not 1"),
        ([path, tmp_path / "out.pth", *model], 2, "OUT must end in .safetensors, not 'out.pth'"),
        ([path, tmp_path / "gone" / "out.safetensors", *model], 2, "no such folder"),
        ([path, tmp_path / "taken.safetensors", *model], 2, "exists (--overwrite replaces it)"),
        ([path, out], 2, "in.pth does not record the name of its backbone"),
        ([path, out, "--model", "resnet18"], 2, "no backbone is called 'resnet18'"),
        ([path, out, "--model", "resnet34_3d"], 1, "missing"),
        ([tmp_path / "bad.pth", out, *model], 1, "bad.pth: not a file of weights"),
        ([tmp_path / "bad.npz", out], 1, "bad.npz: NumPy arrays are not a checkpoint"),
        ([tmp_path / "bad.pth", out], 1, "bad.pth: not a file of weights"),
        ([tmp_path / "gone.pth", out, *model], 1, "gone.pth: no such weights file"),
        ([path, out, *model, "--inflate", "centre"], 2, "--inflate: expected one of center, mean, repeat"),
    ):
        assert convert(*arguments) == code, message
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not out.exists()
    assert (tmp_path / "taken.safetensors").read_text() == "mine"
    assert convert(path, tmp_path / "taken.safetensors", *model, "--overwrite") == 0


def test_model_file_is_copied_as_float16(tmp_path, thin, capsys):
    res3d.save_weights(thin, tmp_path / "a.safetensors")
    assert main(["convert", str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"), "--half"]) == 0
    assert "a ResNet3d of" in capsys.readouterr().out
    copy = res3d.load_model(tmp_path / "b.safetensors")
    assert copy.spec == thin.spec
    assert torch.equal(copy.stem.conv.weight, thin.stem.conv.weight.half().float())
    paths = [str(tmp_path / "a.safetensors"), str(tmp_path / "c.safetensors")]
    assert main(["convert", *paths, "--model", "r3d_18"]) == 2
    assert "is a res3d model file, which accepts no options of a conversion" in capsys.readouterr().err
    assert not (tmp_path / "c.safetensors").exists()
