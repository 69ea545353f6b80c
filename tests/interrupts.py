"""Interrupts between any two lines: what holds state must survive each of them."""

import sys
from pathlib import Path

import minillama

PACKAGE = Path(minillama.__file__).parent


def interrupt(call, n_lines, names):
    """Raise KeyboardInterrupt before line number `n_lines` of files of the package; False when there are fewer."""
    left = [n_lines]
    files = {str(PACKAGE / name) for name in names}

    def trace(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == -1:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
