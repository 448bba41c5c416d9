"""Fixtures of all tests: a fixed seed, small models and videos, and the developers' real videos if present."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.paths import REAL_DATA, ROOT
from helpers.videos import gray_with_bar, write_h264

import res3d
from res3d.threads import COUNTS
from res3d.weights import find_weights, registry

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # share the cores among the workers
    torch.set_num_threads(max(1, torch.get_num_threads() // int(workers)))


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also run the tests marked full")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.fixture(autouse=True)
def _fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _restore_thread_counts():
    """Restore the numbers of threads that a command sets during a test."""
    environment = {name: os.environ.get(name) for name in COUNTS}
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def thin_spec() -> Path:
    """Spec file of a small backbone."""
    return ROOT / "configs" / "backbones" / "resnet10_3d_thin.yaml"


@pytest.fixture
def thin(thin_spec) -> res3d.ResNet3d:
    """A small backbone in eval mode, with random norm statistics that change its output."""
    model = res3d.create_backbone(thin_spec).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model


@pytest.fixture(scope="session")
def encoded_video(tmp_path_factory) -> bytes:
    """Content of the file ``video``."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    write_h264(path, [gray_with_bar(n) for n in range(40)])
    return path.read_bytes()


@pytest.fixture
def video(tmp_path, encoded_video) -> Path:
    """A video of 40 frames of 64×48 at 25 fps; see ``gray_with_bar`` for their content."""
    path = tmp_path / "video.mp4"
    path.write_bytes(encoded_video)
    return path


@pytest.fixture
def real_videos() -> Path:
    """Folder of real videos; the test is skipped if it does not exist, as outside the developers' machines."""
    if not (REAL_DATA / "videos").is_dir():
        pytest.skip("the developers' real videos are not available")
    return REAL_DATA / "videos"


@pytest.fixture
def registered(tmp_path, monkeypatch, thin, thin_spec) -> str:
    """Name of registered weights whose file is already downloaded: a small classifier with five classes."""
    model = res3d.ClipClassifier(thin, 5)
    torch.nn.init.normal_(model.fc.weight, 0, 1)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(model.state_dict(), folder / "made.pth")
    published = find_weights("torchvision/r3d_18.kinetics400")
    entry = replace(
        published,
        name="torchvision/thin.made",
        model=str(thin_spec),
        url="https://nowhere.invalid/made.pth",
        sha256=hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8],
        categories=("walk", "run", "jump", "sit", "wave"),
        clip=replace(published.clip, resize=(40, 50), crop=(32, 32), mean=(0.1, 0.2, 0.3), length=8, step=2, fps=12.5),
    )
    monkeypatch.setattr(registry, "_registry", lambda: {entry.name: entry})
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return entry.name


@pytest.fixture
def one_thread(monkeypatch):
    """Use one thread, also in subprocesses, so that sums are deterministic and processes do not compete for cores."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
