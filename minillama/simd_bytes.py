"""Vectors of bytes inside Numba kernels: unpacking small integers, and products of bytes.

One function, `dot4`, is an instruction that LLVM does not find by itself: 64 products of bytes
and their sums in groups of four at once (`vpdpbusd`, on CPUs with AVX-512 VNNI or AVX-VNNI).
Elsewhere it is built of ordinary vector arithmetic, with the same result to the last bit.
MINILLAMA_SIMD=portable, avx512vnni or avxvnni chooses by hand, for tests.
"""

from __future__ import annotations

import os

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .simd import F32, I32, U8, U64, Bytes16, Bytes64, Floats16, Ints16, N, address, splat, with_twin


def _choose_dot4() -> str:
    """Which instruction `dot4` becomes: by the CPU, or as MINILLAMA_SIMD says."""
    forced = os.environ.get("MINILLAMA_SIMD", "")
    if forced:
        if forced not in ("portable", "avx512vnni", "avxvnni"):
            raise ValueError(f"MINILLAMA_SIMD must be portable, avx512vnni or avxvnni, got {forced!r}")
        return forced
    features = llvm.get_host_cpu_features()
    if features.get("avx512vnni"):
        return "avx512vnni"
    return "avxvnni" if features.get("avxvnni") else "portable"


DOT4 = _choose_dot4()


@with_twin(lambda array, i: array[i : i + N])
def load_bytes(typingctx, array, i):
    """Elements i ... i + 15 of a uint8 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[0], args[0], args[1], U8)
        return builder.load(place, align=1)

    return Bytes16(array, types.intp), build


@with_twin(lambda a, n: a >> np.uint8(n))
def shift_right(typingctx, a, n):
    """Every byte shifted right by n bits."""

    def build(context, builder, signature, args):
        return builder.lshr(args[0], splat(builder, builder.trunc(args[1], ir.IntType(8)), U8))

    return Bytes16(Bytes16, types.intp), build


@with_twin(lambda a, n: a << np.uint8(n))
def shift_left(typingctx, a, n):
    """Every byte shifted left by n bits."""

    def build(context, builder, signature, args):
        return builder.shl(args[0], splat(builder, builder.trunc(args[1], ir.IntType(8)), U8))

    return Bytes16(Bytes16, types.intp), build


@with_twin(lambda a, mask: a & np.uint8(mask))
def keep_bits(typingctx, a, mask):
    """Every byte and-ed with `mask`."""

    def build(context, builder, signature, args):
        return builder.and_(args[0], splat(builder, builder.trunc(args[1], ir.IntType(8)), U8))

    return Bytes16(Bytes16, types.intp), build


@with_twin(lambda a, b: a | b)
def join_bits(typingctx, a, b):
    """Every byte of `a` or-ed with that of `b`."""

    def build(context, builder, signature, args):
        return builder.or_(*args)

    return Bytes16(Bytes16, Bytes16), build


@with_twin(lambda bits: (bits >> np.arange(N) & 1).astype(np.uint8))
def spread_bits(typingctx, bits):
    """Byte i is bit i of an integer: 0 or 1."""

    def build(context, builder, signature, args):
        wide = ir.VectorType(ir.IntType(16), N)
        one_bit = ir.Constant(wide, [1 << i for i in range(N)])
        found = builder.and_(splat(builder, builder.trunc(args[0], ir.IntType(16)), wide), one_bit)
        return builder.zext(builder.icmp_unsigned("!=", found, ir.Constant(wide, [0] * N)), U8)

    return Bytes16(types.intp), build


@with_twin(lambda a: a.astype(np.float32))
def unsigned_to_float(typingctx, a):
    """Bytes 0 ... 255 as floats."""

    def build(context, builder, signature, args):
        wide = builder.zext(args[0], ir.VectorType(ir.IntType(32), N))
        return builder.sitofp(wide, F32)

    return Floats16(Bytes16), build


@with_twin(lambda a: a.view(np.int8).astype(np.float32))
def signed_to_float(typingctx, a):
    """Bytes as int8, -128 ... 127, as floats."""

    def build(context, builder, signature, args):
        wide = builder.sext(args[0], ir.VectorType(ir.IntType(32), N))
        return builder.sitofp(wide, F32)

    return Floats16(Bytes16), build


@with_twin(lambda a, scale, offset: a * np.float32(scale) + np.float32(offset))
def scale_and_add(typingctx, a, scale, offset):
    """a * scale + offset with scalars; the CPU may fuse the two, rounding once."""

    def build(context, builder, signature, args):
        product = builder.fmul(args[0], splat(builder, args[1], F32))
        return builder.fadd(product, splat(builder, args[2], F32))

    return Floats16(Floats16, types.float32, types.float32), build


# --- products of bytes, for interleaved_kernels.py ---


@with_twin(lambda array, i: array[i : i + 64])
def load_64_bytes(typingctx, array, i):
    """Elements i ... i + 63 of a uint8 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        return builder.load(address(context, builder, signature.args[0], args[0], args[1], U64), align=1)

    return Bytes64(array, types.intp), build


@with_twin(lambda a: a & np.uint8(15))
def low_nibbles(typingctx, a):
    """The lower four bits of each of 64 bytes."""

    def build(context, builder, signature, args):
        return builder.and_(args[0], ir.Constant(U64, [15] * 64))

    return Bytes64(Bytes64), build


@with_twin(lambda a: a >> np.uint8(4))
def high_nibbles(typingctx, a):
    """The upper four bits of each of 64 bytes."""

    def build(context, builder, signature, args):
        return builder.lshr(args[0], ir.Constant(U64, [4] * 64))

    return Bytes64(Bytes64), build


@with_twin(lambda value: np.full(N, value, np.int32))
def splat_int(typingctx, value):
    """16 times the same integer."""

    def build(context, builder, signature, args):
        return splat(builder, builder.trunc(args[0], ir.IntType(32)), I32)

    return Ints16(types.intp), build


def _dot4_twin(sums, weights, x, i):
    four = x[i : i + 4].astype(np.int32)
    return sums + (weights.reshape(N, 4).astype(np.int32) * four).sum(axis=1, dtype=np.int32)


def _dot4_portable(builder, sums, weights, four):
    """For each byte of the four: shift it down, widen, multiply, add."""
    for byte in range(4):
        shift = ir.Constant(I32, [8 * byte] * N)
        weight = builder.and_(builder.lshr(weights, shift), ir.Constant(I32, [255] * N))
        up = ir.Constant(I32, [24 - 8 * byte] * N)
        value = builder.ashr(builder.shl(four, up), ir.Constant(I32, [24] * N))
        sums = builder.add(sums, builder.mul(weight, value))
    return sums


def _dot4_halves(builder, sums, weights, four):
    """AVX-VNNI works on 8 lanes: two instructions."""
    half = ir.VectorType(ir.IntType(32), 8)
    instruction = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(half, [half] * 3), "llvm.x86.avx512.vpdpbusd.256"
    )
    mask = [ir.Constant(half, list(range(first, first + 8))) for first in (0, 8)]
    parts = [builder.call(instruction, [builder.shuffle_vector(v, v, m) for v in (sums, weights, four)]) for m in mask]
    return builder.shuffle_vector(*parts, ir.Constant(I32, list(range(N))))


def _dot4_avx512(builder, sums, weights, four):
    instruction = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(I32, [I32] * 3), "llvm.x86.avx512.vpdpbusd.512"
    )
    return builder.call(instruction, [sums, weights, four])


_DOT4 = {"portable": _dot4_portable, "avxvnni": _dot4_halves, "avx512vnni": _dot4_avx512}


@with_twin(_dot4_twin)
def dot4(typingctx, sums, weights, x, i):
    """sums[n] + the product of unsigned bytes weights[4n ... 4n + 3] with x[i ... i + 3] of an int8 array.

    Exact: a sum of four such products cannot overflow 32 bits.
    """

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[2], args[2], args[3], ir.IntType(32))
        four = splat(builder, builder.load(place, align=1), I32)
        return _DOT4[DOT4](builder, args[0], builder.bitcast(args[1], I32), four)

    return Ints16(Ints16, Bytes64, x, types.intp), build


@with_twin(lambda high, low: (high * np.int32(128) + low).astype(np.float32))
def join_planes(typingctx, high, low):
    """128 * high + low, as floats: the two int8 planes of a 15-bit number put together."""

    def build(context, builder, signature, args):
        joined = builder.add(builder.shl(args[0], ir.Constant(I32, [7] * N)), args[1])
        return builder.sitofp(joined, F32)

    return Floats16(Ints16, Ints16), build
