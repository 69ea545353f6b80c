"""Whether a run fits into memory, and memory that stays with the process when it is freed.

A training step makes and frees the same arrays of megabytes again and again. glibc, Linux's C
library, gives such blocks back to the system when they are freed, and gets them again page by
page, each page cleared: 3 to 10 % of a step of a small model. `mallopt` tells it to keep them.
Other systems are left as they are.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import Any

from ..trees import Tree, named_leaves
from .run_folder import RunError

_FLOAT = 4  # bytes
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
_LARGEST = 32 << 20  # the largest threshold that glibc takes


# Bytes of a gradient that a second thread may have of its own: those of 33 million parameters.
_LARGEST_COPY = 1 << 27


def gradient_copies(model: Tree, threads: int) -> int:
    """How many gradients of `model` exist at a time when `threads` share a batch: one each, of a large model one."""
    return 1 if _FLOAT * _n_parameters(model) > _LARGEST_COPY else threads


def _n_parameters(model: Tree) -> int:
    return sum(leaf.size for _, leaf in named_leaves(model))


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


def check_memory(model: Tree, threads: int) -> None:
    """Raise RunError, before anything is made, for a model that this machine's memory cannot hold."""
    memory, n_parameters, copies = physical_memory(), _n_parameters(model), gradient_copies(model, threads)
    needed = n_parameters * _FLOAT * (3 + copies)  # parameters, two moments, gradients
    if memory is not None and needed > memory:
        raise RunError(
            f"{n_parameters:,} parameters with their moments and {_gradients(copies)} take {needed / 1e9:,.1f} GB "
            f"before any activation; this machine has {memory / 1e9:,.1f} GB: take a smaller model"
            f"{', or fewer threads' if copies > 1 else ''}"
        )


def _gradients(copies: int) -> str:
    return f"the gradients of {copies} threads" if copies > 1 else "gradients"


def physical_memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not say."""
    sysconf: Any = getattr(os, "sysconf", None)
    if sysconf is None:
        return None
    try:
        return int(sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return None
