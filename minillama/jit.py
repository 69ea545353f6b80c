"""`kernel`: Numba's `njit` with the project's settings in one place.

Compiled code is kept on disk, so only the first run on a machine compiles. Where Numba
finds no folder to write to, the kernel still works and is compiled anew in every process.

Numba notices an edit to the file of a kernel, not to one that the kernel calls in another file:
after editing the vectors of simd*.py, or a layer's kernel that decoding.py calls, `make clean`.
"""

import os
import types
from collections.abc import Callable
from typing import Any

from numba import get_num_threads, njit

# A thread of the OpenMP pool that has finished its part keeps the core busy for a while, in case
# more work comes. While a token is decoded it does, every few microseconds, and waiting saves a
# wake-up. In a prompt NumPy's BLAS wants the same cores next, and libgomp's default of
# milliseconds made that six times slower. This is a few microseconds. It is read when the pool
# starts, and a value of the user's own is left alone.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("KMP_BLOCKTIME", "0")

# What the compiler may do to floating-point sums: reorder them and use fused multiply-add.
# Numba's `fastmath=True` would also let it assume that NaN and infinity never occur, which
# deletes checks that masks and guards rely on.
REORDER_SUMS = {"reassoc", "contract", "nsz", "arcp"}


def kernel(
    function: Callable[..., Any] | None = None, *, parallel: bool = False, exact: bool = False, borrows: bool = False
) -> Any:
    """Compile `function` at its first call, with the result cached on disk.

    Parameters
    ----------
    parallel : bool
        Let `prange` loops run on several threads.
    exact : bool
        Keep the written order of floating-point sums.
    borrows : bool
        The function makes no array and keeps none: leave out the counting of references, which
        would be two atomic additions for every array at every call of a small kernel.

    Notes
    -----
    Division by zero follows NumPy (infinity or NaN), it does not raise.
    """
    if function is None:
        return lambda f: kernel(f, parallel=parallel, exact=exact, borrows=borrows)
    options: dict[str, Any] = {
        "parallel": parallel,
        "fastmath": False if exact else REORDER_SUMS,
        "error_model": "numpy",
        "nogil": True,
        "_nrt": not borrows,
    }
    if os.environ.get("MINILLAMA_SIMD"):  # chosen by hand (simd.py), which the cache does not know
        return njit(**options)(function)
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that Numba could write its cache to
        return njit(**options)(function)


def kernel_pair(function: Callable[..., Any]) -> tuple[Any, Any]:
    """The same function compiled twice: with `prange` as a plain loop, and with threads.

    The second gets a name of its own, because Numba's cache tells functions apart by name and line.
    """
    parallel = types.FunctionType(function.__code__, function.__globals__, f"{function.__name__}_parallel")
    parallel.__qualname__ = f"{function.__qualname__}_parallel"
    parallel.__module__ = function.__module__
    return kernel(function), kernel(parallel, parallel=True)


def kernel_threads() -> int:
    """Threads that kernels use now."""
    return int(get_num_threads())
