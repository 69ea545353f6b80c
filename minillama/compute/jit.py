"""`kernel` and `threaded`: Numba's `njit` with the project's settings in one place.

A kernel is compiled at its first call, for the types of that call, and kept on disk (kernel_cache.py): only
the first run on a machine compiles. What is shared among threads is compiled once, too. Numba's
`parallel=True` would compile a loop twice over, inside a function and around it, and again for one
thread; here a kernel takes a range of its items, one small compiled function hands ranges to the
threads of Numba's pool, and calls the kernel by its address.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic

from .forking import STATE
from .kernel_cache import keep_on_disk
from .pointers import address_of, call_address

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

_COMPILES = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    exact: bool = False,
    borrows: bool = False,
    parallel: bool = False,
) -> Any:
    """Compile `function` at its first call, with the result kept on disk.

    Parameters
    ----------
    exact : bool
        Keep the written order of floating-point sums.
    borrows : bool
        The function makes no array and keeps none: leave out the counting of references, which
        would be two atomic additions for every array at every call of a small kernel.
    parallel : bool
        Let `prange` loops run on several threads. Takes long to compile; see `threaded`.

    Notes
    -----
    Division by zero follows NumPy (infinity or NaN), it does not raise.
    """
    if function is None:
        return lambda f: kernel(f, exact=exact, borrows=borrows, parallel=parallel)
    return _compiled(function, exact=exact, borrows=borrows, parallel=parallel)


def helper(function: Callable[..., Any] | None = None, *, inline: bool = False, exact: bool = False) -> Any:
    """A kernel that only other kernels call: the way in from Python is not compiled. It borrows its arrays.

    Parameters
    ----------
    inline : bool
        Write the body where the function is called, instead of compiling it by itself and optimising
        it once more in the caller: for what is called from one or two places.
    exact : bool
        As for `kernel`, and no product and sum in one step: for what has to give the same bits in every kernel
        that calls it. Not with `inline`: the caller's rule would hold.
    """
    if function is None:
        return lambda f: helper(f, inline=inline, exact=exact)
    if not _COMPILES:
        return function
    options = {"inline": "always"} if inline else {"no_cpython_wrapper": True}
    compiled = _compiled(function, exact=exact, borrows=True, **options)
    compiled.__class__ = _Helper
    return compiled


class _Helper(CPUDispatcher):
    """A compiled function that says so when it is called from Python, where there is nothing to call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"{self.py_func.__name__} is for other kernels only; decorate it with @kernel to call it from Python"
        )


def _compiled(function: Any, *, exact: bool = False, borrows: bool = False, **options: Any) -> Any:
    options |= {"fastmath": False if exact else REORDER_SUMS, "error_model": "numpy", "nogil": True}
    options |= {"_nrt": not borrows, "no_cfunc_wrapper": True}
    compiled = njit(**options)(function)
    if _COMPILES:
        keep_on_disk(compiled)
    return compiled


def kernel_threads() -> int:
    """Threads that kernels use now, in this thread of Python; one in a child whose fork lost them."""
    return int(get_num_threads()) if STATE.has_threads else 1


def threaded(
    *, from_size: int = 0, borrows: bool = True, exact: bool = False
) -> Callable[[Callable[..., Any]], Threaded]:
    """Make a kernel of a loop whose turns may run on several threads.

        @threaded(from_size=16_384)
        def _double(first, last, x, y):  # x, y (N, D)
            for i in range(first, last):
                y[i] = 2 * x[i]

        _double(len(x), x, y, size=x.size)

    Parameters
    ----------
    from_size : int
        Below this `size` of the work a second thread costs more than it saves.
    borrows, exact : bool
        As for `kernel`.
    """
    return lambda function: Threaded(function, from_size, borrows, exact)


class Threaded:
    """What `threaded` makes: call it with the number of items and the arguments after `first, last`.

    Parameters
    ----------
    function : function
        Of first, last and more; it returns nothing.
    from_size : int
    borrows : bool
    exact : bool
    """

    def __init__(self, function: Callable[..., Any], from_size: int, borrows: bool, exact: bool) -> None:
        self.from_size = from_size
        self.__doc__, self.__name__, self.__module__ = function.__doc__, function.__name__, function.__module__
        # Only ever called by address, so that the way in from Python need not be compiled.
        options = {"no_cpython_wrapper": True} if _COMPILES else {}
        self._function = _compiled(function, exact=exact, borrows=borrows, **options)
        self._addresses: dict[Any, int] = {}

    def __call__(self, n_items: int, *args: Any, size: int = 0) -> None:
        """Do items 0 ... n_items - 1, shared evenly among the threads if `size` is worth it.

        Raises
        ------
        MemoryError
            When the kernel could not have the memory that it asked for.
        """
        if not n_items:
            return
        if not _COMPILES:
            with np.errstate(all="ignore"):  # compiled code does not warn either
                self._function(0, n_items, *args)
            return
        n_threads = min(kernel_threads(), n_items) if size >= self.from_size else 1
        share = _share_address() if n_threads > 1 else 0
        if _launch(share, self._address(args), n_items, n_threads, *args):
            raise MemoryError(f"{self.__name__}: no memory left for the scratch space of a thread")

    def _address(self, args: tuple[Any, ...]) -> int:
        key = _kinds_of(args)
        address = self._addresses.get(key)
        if address is None:
            kinds = (types.intp, types.intp, *(numba.typeof(value) for value in args))
            address = self._addresses[key] = address_of(self._function, kinds)
        return address


def _kinds_by_type(args: tuple[Any, ...]) -> Any:
    return tuple(numba.typeof(value) for value in args)


# The types of arguments as bytes: a name of Numba's inside, and some microseconds quicker than its public one.
_kinds_of: Any = getattr(numba._dispatcher, "compute_fingerprint", _kinds_by_type)


# --- from one call to the threads ---------------------------------------------------------

_BYTES = ir.IntType(8).as_pointer()
_NUMBER = ir.IntType(64)
_PART = ir.FunctionType(ir.VoidType(), [_BYTES, _NUMBER])


def _written(function: Callable[..., Any]) -> Any:
    """A function whose instructions are written by hand; simd.py explains how."""
    return intrinsic(function)


@_written
def _call_part(typingctx, part, frame, number):
    """Call the function at address `part` with the address `frame` and a number."""

    def build(context, builder, signature, args):
        function = builder.inttoptr(args[0], _PART.as_pointer())
        builder.call(function, [builder.inttoptr(args[1], _BYTES), args[2]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), build


@kernel(parallel=True)
def _share(part, frame, n_parts):
    """The only loop that Numba makes parallel itself."""
    for number in prange(n_parts):
        _call_part(part, frame, number)


_SHARE: list[int] = []


def _share_address() -> int:
    if not _SHARE:
        _SHARE.append(address_of(_share, (types.intp,) * 3))
    return _SHARE[0]


@_written
def _run(typingctx, share, function, n_items, n_parts, args):
    """Call the kernel at address `function` for every part of the items; whether one of them failed.

    The arguments are laid down in a frame in memory, where each thread reads them.
    """
    kinds = (types.intp, types.intp, *args.types)

    def build(context, builder, signature, values):
        frame_type = ir.LiteralStructType([_NUMBER] * 4 + [context.get_value_type(kind) for kind in args.types])
        part = _write_part(context, builder.module, frame_type, kinds)
        frame = cgutils.alloca_once(builder, frame_type)
        fields = [*values[1:4], ir.Constant(_NUMBER, 0), *cgutils.unpack_tuple(builder, values[4], len(args.types))]
        for i, field in enumerate(fields):
            builder.store(field, cgutils.gep_inbounds(builder, frame, 0, i))
        frame_address, part_address = builder.ptrtoint(frame, _NUMBER), builder.ptrtoint(part, _NUMBER)
        with builder.if_else(builder.icmp_signed(">", values[3], ir.Constant(_NUMBER, 1))) as (several, one):
            with several:
                three = (types.intp,) * 3
                call_address(context, builder, values[0], three, [part_address, frame_address, values[3]])
            with one:
                builder.call(part, [builder.bitcast(frame, _BYTES), ir.Constant(_NUMBER, 0)])
        return builder.load(cgutils.gep_inbounds(builder, frame, 0, 3))

    return types.intp(types.intp, types.intp, types.intp, types.intp, args), build


def _write_part(context: Any, module: Any, frame_type: Any, kinds: Any) -> Any:
    """A function of the frame and the number of a part: the call of the kernel with its share of the items."""
    part = ir.Function(module, _PART, module.get_unique_name("part"))
    part.linkage = "internal"
    builder = ir.IRBuilder(part.append_basic_block())
    frame = builder.bitcast(part.args[0], frame_type.as_pointer())
    places = [cgutils.gep_inbounds(builder, frame, 0, i) for i in range(len(frame_type.elements))]
    function, n_items, n_parts = (builder.load(place) for place in places[:3])
    number = part.args[1]
    first = builder.sdiv(builder.mul(number, n_items), n_parts)
    last = builder.sdiv(builder.mul(builder.add(number, ir.Constant(_NUMBER, 1)), n_items), n_parts)
    arguments = [first, last, *(builder.load(place) for place in places[4:])]
    status = call_address(context, builder, function, kinds, arguments)
    with builder.if_then(status.is_error):
        builder.store(ir.Constant(_NUMBER, 1), places[3])
    builder.ret_void()
    return part


@kernel(borrows=True)
def _launch(share, function, n_items, n_parts, *args):
    return _run(share, function, n_items, n_parts, args)
