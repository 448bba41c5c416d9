"""Helpers of tests that start processes."""

import signal


def restore_sigint() -> None:
    """Restore the default handler of SIGINT, which the tests may run with ignored; a ``preexec_fn`` of ``Popen``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
