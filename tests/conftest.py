"""What every test process needs, whoever started it."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    # A shell that puts a command into the background makes it ignore Ctrl-C, and so its children,
    # some of which cannot change that. Ours are to be interrupted; a handler is not inherited.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
