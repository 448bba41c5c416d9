"""Helpers for tests that start processes."""

import signal


def take_ctrl_c() -> None:
    """Let a process take SIGINT even where the tests run with it ignored; for the ``preexec_fn`` of ``Popen``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
