"""How many threads the kernels and NumPy's BLAS use, and what runs them."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from numbers import Integral
from typing import Any


def available_cores() -> int:
    """Cores that this process may use (a container or taskset may allow fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_threads() -> int:
    """Threads that Numba was started with: NUMBA_NUM_THREADS, by default the number of cores."""
    import numba

    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def threads_in_use() -> int:
    """Threads that kernels called from this thread of Python use: what `set_threads` said, or all cores."""
    import numba

    return int(numba.get_num_threads())


@functools.cache
def _controller() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS uses one thread.

    Where kernels do the large products, BLAS has only small ones left; a second thread of its own
    pool would wait busily on a core that the kernels need next.
    """
    return blas_threads(1)


def blas_threads(n: int) -> AbstractContextManager[Any]:
    """A context in which BLAS uses `n` threads."""
    return _controller().limit(limits=n, user_api="blas")


@contextmanager
def all_threads(n: int, *, of_kernels: int | None = None) -> Iterator[None]:
    """A context in which this thread of Python uses `n` threads, in Numba's kernels (or `of_kernels`) and in BLAS."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(n if of_kernels is None else of_kernels)
    try:
        with blas_threads(n):
            yield
    finally:
        numba.set_num_threads(before)


def set_threads(n: int) -> None:
    """Use `n` threads in this process, in Numba's kernels and in BLAS.

    Raises
    ------
    ValueError
        When n is below 1 or above what Numba was started with (its NUMBA_NUM_THREADS, by
        default the number of cores).
    """
    import numba
    import threadpoolctl

    most = most_threads()
    if not isinstance(n, Integral) or isinstance(n, bool) or not 1 <= n <= most:
        raise ValueError(f"threads must be between 1 and {most}, the cores of this machine; got {n!r}")
    numba.set_num_threads(int(n))
    threadpoolctl.threadpool_limits(int(n))
