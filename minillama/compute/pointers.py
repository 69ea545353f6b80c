"""Calls of compiled functions by their address.

Numba links the code of every function that a kernel calls into the kernel, and LLVM optimises it
there once more: a function that is reached from five kernels, or under five other functions, is
compiled five times. A call by address is a call of what is compiled already. It costs some
nanoseconds, so it is for what takes microseconds.

An address is valid in this process only, and therefore an argument of a kernel, never a constant in it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.extending import intrinsic

# Without the compiler an address is a place in this list.
_PYTHON_FUNCTIONS: list[Callable[..., Any]] = []


def address_of(function: Any, arguments: tuple[Any, ...]) -> int:
    """Where the code of a kernel for these types of arguments begins; compiled now, if it was not before.

    Raises
    ------
    TypeError
        When the kernel returns something: who calls it by address would not see it.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        if function not in _PYTHON_FUNCTIONS:
            _PYTHON_FUNCTIONS.append(function)
        return _PYTHON_FUNCTIONS.index(function)
    with global_compiler_lock:  # for forking.py: LLVM links the code only when its address is asked for
        function.compile(arguments)
        compiled = function.overloads[arguments]
        if compiled.signature.return_type != types.none:
            raise TypeError(f"{function.__name__} returns {compiled.signature.return_type}; it must return nothing")
        return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def function_at(address: int) -> Callable[..., Any]:
    """The Python function that stands for an address, where nothing compiles."""
    return _PYTHON_FUNCTIONS[address]


def call_address(context: Any, builder: Any, address: Any, kinds: Any, values: Any) -> Any:
    """Write the call of a compiled function that returns nothing; the result is its status."""
    function_type = context.call_conv.get_function_type(types.none, tuple(kinds))
    result, exception = (cgutils.alloca_once(builder, function_type.args[i].pointee) for i in (0, 1))
    arguments = context.get_arg_packer(tuple(kinds)).as_arguments(builder, values)
    pointer = builder.inttoptr(address, function_type.as_pointer())
    code = builder.call(pointer, [result, exception, *arguments])
    return context.call_conv._get_return_status(builder, code, builder.load(exception))


def caller(*signatures: tuple[Any, ...]) -> Any:
    """A function call(address, tuple of arguments) for kernels that take exactly the types of one signature."""

    def call(typingctx, address, values):
        given = tuple(types.unliteral(kind) for kind in values.types)
        if given not in signatures:
            raise TypingError(f"called with {given}, expected one of {signatures}")

        def build(context, builder, signature, args):
            fields = cgutils.unpack_tuple(builder, args[1], len(given))
            call_address(context, builder, args[0], given, fields)
            return context.get_dummy_value()

        return types.void(types.intp, types.Tuple(given)), build

    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return lambda address, values: function_at(int(address))(*values)
    return intrinsic(call)


# --- arrays by their address: a table of addresses stands for a list of arrays, which kernels do not take ----------


def _array_at_twin(address, shape, like):
    n_bytes = int(np.prod(shape)) * like.itemsize
    return np.frombuffer((ctypes.c_byte * n_bytes).from_address(int(address)), like.dtype).reshape(shape)


def _write_array(typingctx, address, shape, like):
    """The contiguous array at an address, of the numbers that `like` has; whoever gave the address keeps it alive."""
    kind = types.Array(like.dtype, len(shape), "C")

    def build(context, builder, signature, args):
        from numba.np.arrayobj import make_array, populate_array  # loaded where something compiles, not before

        item = context.get_data_type(kind.dtype)
        sizes = cgutils.unpack_tuple(builder, args[1], len(shape))
        strides = [cgutils.intp_t(context.get_abi_sizeof(item))]
        for size in reversed(sizes):
            strides.insert(0, builder.mul(strides[0], size))
        array = make_array(kind)(context, builder)
        data = builder.inttoptr(args[0], item.as_pointer())
        populate_array(array, data=data, shape=sizes, strides=strides[1:], itemsize=strides[-1], meminfo=None)
        return array._getvalue()

    return kind(types.intp, types.UniTuple(types.intp, len(shape)), like), build


array_at: Any = _array_at_twin
if not config.DISABLE_JIT:  # type: ignore[attr-defined]
    array_at = intrinsic(_write_array)
