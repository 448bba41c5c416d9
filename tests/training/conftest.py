import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Two runs are compared number by number, and training makes much of small differences."""
