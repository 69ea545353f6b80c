"""Processes forked from one that has run kernels (`os.fork`, the "fork" of multiprocessing).

A fork copies the memory of a process and one of its threads. What the others held or did is lost:

* Numba's OpenMP threads do not exist in the child, and GNU OpenMP ends a child that asks for them. There a kernel
  runs on one thread.
* A lock that another thread held would stay locked for ever. The child gets a new lock. The fork waits until no
  kernel is being compiled, because a compiler in the middle of its work cannot be copied; compiling ends by itself.

Other processes ("spawn", "forkserver") begin afresh and are not concerned.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager
from typing import Any


class _State:
    """What a child has to replace."""

    # Numba's simplest threading layer aborts the process when two threads launch kernels at once.
    kernels = threading.RLock()
    has_threads = True
    compiler: Any = None  # Numba's lock, while a fork is under way


def one_at_a_time() -> AbstractContextManager[Any]:
    """The lock to hold while a model runs."""
    return _State.kernels


def has_threads() -> bool:
    """Whether kernels can have more than one thread in this process."""
    return _State.has_threads


def _before_fork() -> None:
    module = sys.modules.get("numba.core.compiler_lock")
    lock = None if module is None else module.global_compiler_lock
    if lock is not None:
        lock.acquire()
    _State.compiler = lock


def _after_in_parent() -> None:
    lock, _State.compiler = _State.compiler, None
    if lock is not None:
        lock.release()


def _after_in_child() -> None:
    _after_in_parent()
    _State.kernels = threading.RLock()
    if _openmp_has_started():
        _State.has_threads = False


def _openmp_has_started() -> bool:
    numba = sys.modules.get("numba")
    try:
        return numba is not None and numba.threading_layer() == "omp"
    except ValueError:  # Numba's word for "not yet"
        return False


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
