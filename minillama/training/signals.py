"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

AFTER_THIS_STEP = "stopping after this step; interrupt again to stop at once, without saving"


class StopRequest:
    """Whether somebody asked the run to stop, and by which signal (0: nobody did)."""

    signal = 0

    def __call__(self) -> bool:
        return self.signal != 0


@contextmanager
def stop_on_signals(told: Callable[[str], None], said: str = AFTER_THIS_STEP) -> Iterator[StopRequest]:
    """Within the block the first Ctrl-C (or SIGTERM) only makes a note; a second one interrupts at once.

    Parameters
    ----------
    told : callable
        Called with a sentence for the person when the first signal comes.
    said : str
        The sentence.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield request
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if request.signal:
            raise KeyboardInterrupt
        request.signal = number
        told(said)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
