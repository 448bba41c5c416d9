import pytest

from res3d.cli import describe as command
from res3d.cli import main


def test_table_has_one_line_per_stage(capsys):
    assert main(["describe", "resnet18_3d", "--clip", "3x8x224x224", "--freeze-at", "2", "--body", "conv4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resnet18_3d on a clip of 3×8×224×224 (C×T×H×W)"
    assert [line.split()[0] for line in lines[2:]] == ["stem", "conv2", "conv3", "conv4", "total"]
    assert lines[-1].split() == ["total", "7,943,744", "24.168", "G"]
    assert [line.endswith("frozen") for line in lines[2:]] == [True, True, False, False, False]


def test_markdown_tables_of_several_classifiers(capsys, thin_spec):
    assert main(["describe", "r3d_18", str(thin_spec), "--classes", "400", "--clip", "3×16×112×112", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "**r3d_18 on a clip of 3×16×112×112 (C×T×H×W)**" in out
    assert "**resnet10_3d_thin on a clip" in out
    assert out.count("| head |") == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--width", "0.5"], "1×7×7, 32"),
        (["--in-channels", "1"], "on a clip of 1×8×224×224"),
        (["--temporal-kernel", "5"], "[5×3×3, 128 → 5×3×3, 128] ×2"),
        (["--temporal-stride", "2"], "512×1×7×7"),
        (["--shortcut", "pool_pad"], "32,678,720"),
        (["--attention", "squeeze_excite"], "32,941,624"),
        (["--output-stride", "16"], "512×8×14×14"),
    ],
)
def test_every_change_of_the_architecture_is_in_the_table(capsys, flags, words):
    assert main(["describe", "resnet18_3d", *flags]) == 0
    assert words in capsys.readouterr().out


def test_stride_on_changes_the_multiply_adds(capsys):
    assert main(["describe", "resnet50_3d", "--stride-on", "1x1"]) == 0
    assert "54.89" in capsys.readouterr().out


def test_huge_classifier_is_not_allocated(capsys):
    assert main(["describe", "resnet18_3d", "--classes", "99999999999"]) == 0
    assert "51,299,999,999,487" in capsys.readouterr().out


def test_diagram_is_written_as_svg(tmp_path, capsys):
    target = tmp_path / "net.svg"
    assert main(["describe", "resnet18_3d", "--diagram", str(target)]) == 0
    assert target.read_text(encoding="utf-8").startswith("<svg ")
    assert [p.name for p in tmp_path.iterdir()] == ["net.svg"]


def test_failed_write_of_the_diagram_leaves_no_file(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.Path, "replace", full)
    assert main(["describe", "resnet18_3d", "--diagram", str(tmp_path / "net.svg")]) == 1
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs at least one backbone: a name from res3d.list_backbones()"),
        (["resnet19_3d"], "no backbone is called 'resnet19_3d'; did you mean"),
        (["resnet18_3d", "--clip", "8x224x224"], "--clip must be CxTxHxW like 3x8x224x224, not '8x224x224'"),
        (["resnet18_3d", "--clip", "3x0x224x224"], "--clip must be CxTxHxW"),
        (["resnet18_3d", "--clip", "3x8x224x99999999"], "--clip must be CxTxHxW"),
        (["resnet18_3d", "--clip", "1x8x64x64"], "a clip must be float [N, 3, T, H, W]"),
        (["resnet18_3d", "--body", "conv6"], "body must be one of 'conv2', 'conv3', 'conv4', 'conv5', not 'conv6'"),
        (["resnet18_3d", "--freeze-at", "6"], "freeze_at must be one of 0 (nothing) to 5 (everything), not 6"),
        (["resnet18_3d", "--shortcut", "max_pool"], "shortcut 'max_pool' keeps the channels, but 64 become 128"),
        (["resnet18_3d", "--clip", "3x999999x999999x999999"], "the network or the clip is too large"),
        (["resnet18_3d", "--classes", "0"], "num_classes must be a whole number ≥ 1, not 0"),
        (["resnet18_3d", "--diagram", "net.png"], "--diagram must end in .svg, not 'net.png'"),
        (["resnet18_3d", "--diagram", "nowhere/net.svg"], "no such folder"),
        (["resnet18_3d", "r3d_18", "--diagram", "net.svg"], "--diagram accepts one network, not 2"),
    ],
)
def test_invalid_input_gives_one_line_and_exit_code_2(capsys, arguments, message):
    assert main(["describe", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
