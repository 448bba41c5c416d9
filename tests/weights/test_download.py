"""Download of registered weights from a local server, and the checks of their hashes."""

import functools
import hashlib
import http.server
import threading
from dataclasses import replace

import pytest
import torch
from helpers.image_networks import thin_image_network
from helpers.parity_peers import randomize

import res3d
from res3d.weights import WeightsError, fetch_weights, find_weights
from res3d.weights import registry as registry_module


class Server:
    """HTTP server of a folder on the loopback address, which counts its requests."""

    def __init__(self, folder) -> None:
        self.requests = 0
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                outer.requests += 1

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()  # polling interval: close is quick

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A registry entry, the cache path of its file, the server of the file, and the network in it."""
    folder = tmp_path / "served"
    folder.mkdir()
    network = randomize(thin_image_network("resnet18"))
    torch.save(network.state_dict(), folder / "resnet18-published.pth")
    digest = hashlib.sha256((folder / "resnet18-published.pth").read_bytes()).hexdigest()
    server = Server(folder)
    entry = replace(
        find_weights("torchvision/resnet18.imagenet1k"),
        name="torchvision/local.test",
        url=f"{server.url}/resnet18-published.pth",
        sha256=digest[:8],
        norm_eps=1e-3,
    )
    monkeypatch.setattr(registry_module, "_registry", lambda: {entry.name: entry})
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    yield entry, tmp_path / "hub" / "checkpoints" / "resnet18-published.pth", server, network
    server.close()


def test_weights_are_downloaded_once_into_the_cache_of_torch_hub(published):
    entry, cached, server, network = published
    model = res3d.resnet18_3d(width=0.125, weights=entry.name)
    assert cached.is_file()
    assert server.requests == 1
    assert torch.equal(model.stem.conv.weight[:, :, 0], network.conv1.weight)
    res3d.create_classifier("resnet18_3d", 1000, width=0.125, weights=entry.name)
    assert server.requests == 1


def test_the_registered_norm_eps_is_the_default(published):
    entry, *_ = published
    model = res3d.resnet18_3d(width=0.125)
    assert res3d.load_weights(model, entry.name).norm_eps == 1e-3
    assert model.stem.norm.eps == 1e-3
    assert res3d.load_weights(model, entry.name, norm_eps=1e-5).norm_eps == 1e-5


def test_a_download_with_another_hash_is_refused_and_removed(published):
    entry, cached, *_ = published
    with pytest.raises(WeightsError, match=r"torchvision/local.test: the file at http://.* is not the published one"):
        fetch_weights(replace(entry, sha256="00000000"), progress=False)
    assert not cached.exists()


def test_a_changed_file_in_the_cache_is_refused(published):
    entry, cached, *_ = published
    fetch_weights(entry, progress=False)
    cached.write_bytes(cached.read_bytes() + b"x")
    with pytest.raises(WeightsError, match=r"resnet18-published.pth has SHA-256 .* delete it to download it again"):
        fetch_weights(entry, progress=False)


def test_without_a_published_hash_later_uses_are_checked_against_the_first(published):
    entry, cached, *_ = published
    unhashed = replace(entry, sha256=None)
    fetch_weights(unhashed, progress=False)
    record = cached.with_name(cached.name + ".sha256")
    assert record.read_text().split() == [hashlib.sha256(cached.read_bytes()).hexdigest(), cached.name]
    assert fetch_weights(unhashed, progress=False) == cached
    cached.write_bytes(cached.read_bytes() + b"x")
    with pytest.raises(WeightsError, match="has changed since its first use"):
        fetch_weights(unhashed, progress=False)


def test_the_error_of_a_failed_download_names_the_url_and_the_cache_path(published):
    entry, cached, server, _ = published
    server.close()
    with pytest.raises(
        WeightsError, match=rf"cannot be downloaded \(.*\); download {entry.url} and save it as {cached}"
    ):
        fetch_weights(entry, progress=False)
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes((cached.parent.parent.parent / "served" / cached.name).read_bytes())
    assert fetch_weights(entry, progress=False) == cached


def test_the_error_for_a_file_missing_on_the_server_names_the_url(published):
    entry, *_ = published
    with pytest.raises(WeightsError, match=r"cannot be downloaded \(File not found\); download .*gone.pth"):
        fetch_weights(replace(entry, url=entry.url.replace("resnet18-published", "gone")), progress=False)


def test_an_existing_file_takes_precedence_over_the_registry(published, tmp_path, monkeypatch):
    entry, *_ = published
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torchvision").mkdir()
    other = randomize(thin_image_network("resnet18"), seed=9)
    torch.save(other.state_dict(), tmp_path / entry.name)
    model = res3d.resnet18_3d(width=0.125, weights=entry.name)
    assert torch.equal(model.stem.conv.weight[:, :, 0], other.conv1.weight)
