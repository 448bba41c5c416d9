import json
import re
import shutil

import pytest
import torch
import torchvision
from helpers.parity_peers import randomize
from helpers.videos import gray_with_bar, write_h264
from safetensors.torch import load_file, save_file

import res3d
from res3d.cli import main
from res3d.clips import ClipSpec
from res3d.training import TrainingSettings, train
from res3d.video import ClipSampler, Preprocessing

SMALL = ["--resize", "40x50", "--crop", "32x32", "--length", "8"]


@pytest.fixture
def classifier(tmp_path, thin):
    """A classifier file, and the model in it."""
    model = res3d.ClipClassifier(thin, 6).eval()
    torch.nn.init.normal_(model.fc.weight, 0, 1)
    res3d.save_weights(model, tmp_path / "c.safetensors")
    return tmp_path / "c.safetensors", model


def test_printed_probabilities_are_those_of_the_model(classifier, video, tmp_path, capsys):
    path, model = classifier
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]))
    assert main(["classify", str(video), "--weights", str(path), "--categories", str(names), "--top", "2", *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    kinetics = res3d.video.KINETICS
    preprocess = Preprocessing(resize=(40, 50), crop=(32, 32), mean=kinetics.mean, std=kinetics.std)
    logits = res3d.extract_features(video, model, sampler=ClipSampler(8, 8), layer="logits", preprocess=preprocess)
    probabilities = torch.softmax(torch.from_numpy(logits.features), dim=1)
    words = names.read_text().split()
    for line, row in zip(lines, [*probabilities, probabilities.mean(0)], strict=True):
        best = row.topk(2)
        expected = ", ".join(f"{words[i]} {100 * p:.1f} %" for p, i in zip(best.values, best.indices, strict=True))
        assert line.endswith("  " + expected)
    assert re.match(r".*video.mp4:    0.32 to    0.64 s  ", lines[1])
    assert "whole video" in lines[-1]


def test_layer_logits_needs_a_classifier(video, thin):
    with pytest.raises(ValueError, match="has no stage 'logits'"):
        res3d.extract_features(video, thin, layer="logits")
    empty = res3d.extract_features(
        video, res3d.ClipClassifier(thin, 6), layer="logits", sampler=ClipSampler(99, tail="drop")
    )
    assert empty.features.shape == (0, 6)


@pytest.mark.slow
def test_file_of_another_library_needs_the_flag_model(video, tmp_path, capsys):
    torch.save(randomize(torchvision.models.resnet18(num_classes=3)).state_dict(), tmp_path / "f.pth")
    command = ["classify", str(video), "--weights", str(tmp_path / "f.pth"), *SMALL]
    assert main(command) == 2
    assert "f.pth does not describe its model; name the backbone of its classifier" in capsys.readouterr().err
    assert main([*command, "--model", "resnet18_3d"]) == 0
    assert "class 2" in capsys.readouterr().out


def test_invalid_input_gives_one_line_and_its_exit_code(classifier, video, tmp_path, capsys, thin):
    path, _ = classifier
    names = tmp_path / "names.txt"
    names.write_text("one\ntwo")
    res3d.save_weights(thin, tmp_path / "backbone.safetensors")
    short = tmp_path / "short.mp4"
    write_h264(short, [gray_with_bar(0)])
    base = ["classify", str(video), *SMALL]
    for arguments, code, message in (
        (["classify", "--weights", str(path)], 2, "needs at least one video"),
        ([*base, "--weights", str(path), "--top", "0"], 2, "--top must be ≥ 1, not 0"),
        ([*base, "--weights", str(path), "--categories", str(names)], 2, "2 names for 6 classes"),
        ([*base, "--weights", str(path), "--length", "0"], 2, "clip length must be a whole number from 1"),
        ([*base, "--weights", str(path), "--stride", "0"], 2, "clip stride must be a whole number from 1"),
        ([*base, "--weights", str(path), "--step", "0"], 2, "clip step must be a whole number from 1"),
        ([*base, "--weights", str(path), "--fps", "0"], 2, "--fps must be ≥ 1e-06, not 0.0"),
        ([*base, "--weights", "torchvision/r3d_18"], 2, "no weights are registered as 'torchvision/r3d_18'"),
        ([*base, "--weights", "gone.pth"], 1, "gone.pth: no such weights file"),
        ([*base, "--weights", str(tmp_path / "backbone.safetensors")], 1, "holds a ResNet3d, not a classifier"),
        (["classify", "gone.mp4", "--weights", str(path), *SMALL], 1, "gone.mp4: no such file"),
    ):
        assert main(arguments) == code, message
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert main(["classify", str(short), "--weights", str(path), *SMALL]) == 0


def test_registered_weights_determine_classes_clips_and_preprocessing(registered, video, capsys):
    assert main(["classify", str(video), "--weights", registered, "--top", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # 20 frames at 12.5 frames/s make two clips of 8 frames with step 2
    assert ":    0.00 to    1.16 s  " in lines[0]
    for line in lines:
        assert sorted(re.findall(r"[a-z]+(?= [\d.]+ %)", line)) == ["jump", "run", "sit", "walk", "wave"]
        assert sum(map(float, re.findall(r"([\d.]+) %", line))) == pytest.approx(100, abs=0.3)


def test_trained_classifier_determines_classes_clips_and_preprocessing(video, tmp_path, thin_spec, capsys):
    for name in ("walk", "wave"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        shutil.copy(video, tmp_path / "videos" / name / "a.mp4")
    data = {"kind": "labelled", "source": str(tmp_path / "videos"), "length": 6, "step": 2, "side": 40}
    settings = TrainingSettings(
        model={"kind": "classifier", "backbone": str(thin_spec)},
        train=data,
        augment={"crop": [32, 36]},
        std=[0.2, 0.25, 0.3],
        out=str(tmp_path / "run"),
        epochs=1,
        batch_size=2,
    )
    weights = train(settings).weights
    trained = res3d.load_model(weights)
    assert trained.trained_on == ClipSpec(length=6, step=2, resize=40, crop=(32, 36), std=(0.2, 0.25, 0.3))
    assert trained.categories == ("walk", "wave")
    capsys.readouterr()
    assert main(["classify", str(video), "--weights", str(weights)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5, "40 frames are four clips of 6 frames with step 2, and one line for the video"
    assert all(sorted(re.findall(r"[a-z]+(?= [\d.]+ %)", line)) == ["walk", "wave"] for line in lines)
    assert main(["extract", str(video), "--weights", str(weights), "--out", str(tmp_path / "out")]) == 0
    meta = res3d.ClipFeatures.load(tmp_path / "out" / f"{video.stem}.npz").meta
    assert meta["preprocessing"]["crop"] == [32, 36]
    assert meta["preprocessing"]["resize"] == 40


def test_clip_spec_in_a_weights_file_is_checked(tmp_path, thin, capsys, video):
    model = res3d.ClipClassifier(thin, 3, trained_on=ClipSpec(length=4))
    path = tmp_path / "c.safetensors"
    res3d.save_weights(model, path)
    tensors = load_file(path)
    metadata = {"kind": "classifier", "spec": thin.spec.to_yaml(), "num_classes": 3, "dropout": 0.0}
    for clip, message in (
        ("lenght: 4", "did you mean 'length'"),
        ("length: 0", "clip length must be a whole number from 1 to 2147483647, not 0"),
    ):
        save_file(tensors, path, metadata={"res3d": json.dumps({**metadata, "trained_on": clip})})
        assert main(["classify", str(video), "--weights", str(path)]) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="mean and std must be three numbers each, std > 0"):
        ClipSpec(length=4, std=(1.0, 0.0, 1.0))
