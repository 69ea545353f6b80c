"""Processes forked from one that has run kernels (`os.fork`, the "fork" of multiprocessing).

A fork copies the memory of a process and one of its threads. What the others held or did is lost:

* Numba's OpenMP threads do not exist in the child, and GNU OpenMP ends a child that asks for them. There a kernel
  runs on one thread.
* A lock that another thread held would stay locked for ever, and what it was doing half done: compiling, importing.
  A fork therefore waits for the kernel, or the compiler, that is running. It does not wait for ever; the child
  gets new locks.

Other processes ("spawn", "forkserver") begin afresh and are not concerned.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager
from typing import Any

# No kernel takes that long, short of a very long prompt to a very large model.
_PATIENCE = 60.0


class _State:
    """What a child has to replace, and what a fork holds while it is under way."""

    def __init__(self) -> None:
        # Numba's simplest threading layer aborts the process when two threads launch kernels at once.
        self.kernels = threading.RLock()
        self.has_threads = True  # whether kernels can have more than one in this process
        self.held: list[Any] = []


STATE = _State()


def one_at_a_time() -> AbstractContextManager[Any]:
    """The lock to hold while a model runs."""
    return STATE.kernels


def _before_fork() -> None:
    held = []
    if STATE.kernels.acquire(timeout=_PATIENCE):
        held.append(STATE.kernels)
    if (module := sys.modules.get("numba.core.compiler_lock")) is not None:
        module.global_compiler_lock.acquire()
        held.append(module.global_compiler_lock)
    STATE.held = held


def _after_in_parent() -> None:
    held, STATE.held = STATE.held, []
    for lock in reversed(held):
        lock.release()


def _after_in_child() -> None:
    _after_in_parent()
    STATE.kernels = threading.RLock()
    if _openmp_has_started():
        STATE.has_threads = False


def _openmp_has_started() -> bool:
    numba = sys.modules.get("numba")
    try:
        return numba is not None and numba.threading_layer() == "omp"
    except ValueError:  # Numba's word for "not yet"
        return False


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
