"""Compiling: how often, and without breaks. Slow by nature, so on the thinnest network only."""

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from res3d.inference import optimize

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def _forget_compiled():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@torch.no_grad()
def test_two_compilations_serve_single_clips_and_batches(thin):
    compiled = optimize(thin, compile=True)
    for shape in [(2, 3, 4, 64, 64), (1, 3, 4, 64, 64), (5, 3, 4, 64, 64), (3, 3, 6, 96, 96), (1, 3, 6, 96, 96)]:
        clip = torch.randn(shape)
        torch.testing.assert_close(compiled(clip)["conv5"], thin(clip)["conv5"], rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]
