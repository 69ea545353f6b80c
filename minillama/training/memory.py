"""Memory that is freed stays with the process.

A training step makes and frees the same arrays of megabytes again and again. glibc, Linux's C
library, gives such blocks back to the system when they are freed, and gets them again page by
page, each page cleared: 3 to 10 % of a step of a small model. `mallopt` tells it to keep them.
Other systems are left as they are.
"""

from __future__ import annotations

import ctypes
import functools
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
_LARGEST = 32 << 20  # the largest threshold that glibc takes


@functools.cache
def keep_freed_memory() -> bool:
    """Once in a process; whether the C library is one that can be asked."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, 1 << 30), (_M_TOP_PAD, _LARGEST))
    return all(mallopt(setting, value) == 1 for setting, value in settings)
