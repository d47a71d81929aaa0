"""A limit for tests of what might never end, so that they are red then and do not hang."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class EndlessError(BaseException):
    """No Exception: those of an edit are caught."""


@contextmanager
def ends() -> Iterator[None]:
    """Meanwhile a minute of processor time may pass, or EndlessError is raised."""

    def stop(*_: object) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
