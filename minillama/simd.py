"""Vectors of 16 numbers inside Numba kernels.

LLVM vectorises a plain loop when it can prove that the loop may be vectorised, and unpacking
4-bit numbers is where it cannot. These few functions say it outright: each becomes one or two
vector instructions on any CPU that Numba supports (16 floats are one AVX-512 register, two of
AVX2, four of NEON; LLVM splits them as needed).

How it works: a Numba *intrinsic* is a function whose body is written in LLVM's own language,
through llvmlite. It has two parts: a signature for Numba's type inference, and a builder of
instructions. `Bytes16` and `Floats16` are Numba types whose values are LLVM vectors.

Every function has a twin in plain NumPy beside it, which says what it computes and takes its
place when Numba's compiler is switched off (NUMBA_DISABLE_JIT=1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

N = 16  # elements of a vector

_U8 = ir.VectorType(ir.IntType(8), N)
_F32 = ir.VectorType(ir.FloatType(), N)


class _Bytes16(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Bytes16")


class _Floats16(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Floats16")


Bytes16, Floats16 = _Bytes16(), _Floats16()


@register_model(_Bytes16)
class _Bytes16Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _U8)


@register_model(_Floats16)
class _Floats16Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _F32)


def _with_twin(twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make an intrinsic of the decorated typing function, or use `twin` where nothing compiles."""

    def choose(function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:  # type: ignore[attr-defined]
            return twin
        op: Any = intrinsic(function)
        op.twin = twin  # for the tests
        return op

    return choose


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    """Pointer to `vector` elements of a one-dimensional contiguous array, beginning at `index`."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _splat(builder: Any, scalar: Any, vector: Any) -> Any:
    """The vector whose elements are all `scalar`."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), N), [0] * N)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


@_with_twin(lambda array, i: array[i : i + N])
def load_bytes(typingctx, array, i):
    """Elements i ... i + 15 of a uint8 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], args[0], args[1], _U8)
        return builder.load(address, align=1)

    return Bytes16(array, types.intp), build


def _store_twin(array, i, values):
    array[i : i + N] = values


@_with_twin(_store_twin)
def store_floats(typingctx, array, i, values):
    """Write to elements i ... i + 15 of a float32 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], args[0], args[1], _F32)
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Floats16), build


@_with_twin(lambda a, n: a >> np.uint8(n))
def shift_right(typingctx, a, n):
    """Every byte shifted right by n bits."""

    def build(context, builder, signature, args):
        return builder.lshr(args[0], _splat(builder, builder.trunc(args[1], ir.IntType(8)), _U8))

    return Bytes16(Bytes16, types.intp), build


@_with_twin(lambda a, n: a << np.uint8(n))
def shift_left(typingctx, a, n):
    """Every byte shifted left by n bits."""

    def build(context, builder, signature, args):
        return builder.shl(args[0], _splat(builder, builder.trunc(args[1], ir.IntType(8)), _U8))

    return Bytes16(Bytes16, types.intp), build


@_with_twin(lambda a, mask: a & np.uint8(mask))
def keep_bits(typingctx, a, mask):
    """Every byte and-ed with `mask`."""

    def build(context, builder, signature, args):
        return builder.and_(args[0], _splat(builder, builder.trunc(args[1], ir.IntType(8)), _U8))

    return Bytes16(Bytes16, types.intp), build


@_with_twin(lambda a, b: a | b)
def join_bits(typingctx, a, b):
    """Every byte of `a` or-ed with that of `b`."""

    def build(context, builder, signature, args):
        return builder.or_(*args)

    return Bytes16(Bytes16, Bytes16), build


@_with_twin(lambda bits: (bits >> np.arange(N) & 1).astype(np.uint8))
def spread_bits(typingctx, bits):
    """Byte i is bit i of an integer: 0 or 1."""

    def build(context, builder, signature, args):
        wide = ir.VectorType(ir.IntType(16), N)
        one_bit = ir.Constant(wide, [1 << i for i in range(N)])
        found = builder.and_(_splat(builder, builder.trunc(args[0], ir.IntType(16)), wide), one_bit)
        return builder.zext(builder.icmp_unsigned("!=", found, ir.Constant(wide, [0] * N)), _U8)

    return Bytes16(types.intp), build


@_with_twin(lambda a: a.astype(np.float32))
def unsigned_to_float(typingctx, a):
    """Bytes 0 ... 255 as floats."""

    def build(context, builder, signature, args):
        wide = builder.zext(args[0], ir.VectorType(ir.IntType(32), N))
        return builder.sitofp(wide, _F32)

    return Floats16(Bytes16), build


@_with_twin(lambda a: a.view(np.int8).astype(np.float32))
def signed_to_float(typingctx, a):
    """Bytes as int8, -128 ... 127, as floats."""

    def build(context, builder, signature, args):
        wide = builder.sext(args[0], ir.VectorType(ir.IntType(32), N))
        return builder.sitofp(wide, _F32)

    return Floats16(Bytes16), build


@_with_twin(lambda a, scale, offset: a * np.float32(scale) + np.float32(offset))
def scale_and_add(typingctx, a, scale, offset):
    """a * scale + offset with scalars; the CPU may fuse the two, rounding once."""

    def build(context, builder, signature, args):
        product = builder.fmul(args[0], _splat(builder, args[1], _F32))
        return builder.fadd(product, _splat(builder, args[2], _F32))

    return Floats16(Floats16, types.float32, types.float32), build
