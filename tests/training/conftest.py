import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Run all tests and their fixtures on one thread: tests compare runs exactly, and training amplifies rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)
