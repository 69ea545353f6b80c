"""`kernel`: Numba's `njit` with the project's settings in one place.

Compiled code is kept on disk, so only the first run on a machine compiles. Numba by itself
notices an edit to the file of a kernel, but not to one that the kernel calls in another file, and
would go on running the old code without a word. Here the folder is named after the contents of
every file that may hold a kernel: an edit or an update compiles anew. Where no folder can be
written to, kernels still work and are compiled in every process.
"""

import functools
import hashlib
import os
import shutil
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba import get_num_threads, njit

from ..files.home import cache_dir

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


# Compiled kernels of other versions of the code are deleted when they were not used for so long.
_KEEP_DAYS = 30


@functools.cache
def kernel_folder() -> Path | None:
    """Where compiled kernels of exactly this code are kept; None where nothing can be written."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(os.environ.get("MINILLAMA_SIMD", "").encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if b"jit import" in content or b"with_twin" in content:  # kernels, and the vectors that they use
            digest.update(path.name.encode() + content)
    given = os.environ.get("NUMBA_CACHE_DIR")
    folder = (Path(given) / "minillama" if given else cache_dir() / "kernels") / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return None
    _forget_old(folder)
    return folder if os.access(folder, os.W_OK) else None


def _forget_old(folder: Path) -> None:
    for other in folder.parent.iterdir():
        with suppress(OSError):
            if time.time() - other.stat().st_mtime > _KEEP_DAYS * 86_400:
                shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Numba chooses a kernel's place when it is declared: ours for these, the user's for all others."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        settings.CACHE_DIR = before


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
    folder = None if os.environ.get("NUMBA_DISABLE_JIT") else kernel_folder()
    if folder is None:
        return njit(**options)(function)
    with _kept_in(folder):
        return njit(cache=True, **options)(function)


def kernel_pair(function: Callable[..., Any]) -> tuple[Any, Any]:
    """The same function compiled twice: with `prange` as a plain loop, and with threads.

    The second gets a name of its own, because Numba's cache tells functions apart by name and line.
    """
    parallel = types.FunctionType(function.__code__, function.__globals__, f"{function.__name__}_parallel")
    parallel.__qualname__ = f"{function.__qualname__}_parallel"
    parallel.__module__ = function.__module__
    return kernel(function), kernel(parallel, parallel=True)


def kernel_threads() -> int:
    """Threads that kernels use now, in this thread of Python."""
    return int(get_num_threads())


def with_threads(work: int, smallest: int) -> bool:
    """Whether `work` numbers are worth several threads, and there are several."""
    return work >= smallest and kernel_threads() > 1
