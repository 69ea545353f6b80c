"""Vectors of bytes inside Numba kernels: unpacking small integers, and products of bytes.

One function, `dot4`, is an instruction that LLVM does not find by itself: 64 products of bytes
and their sums in groups of four at once. What it becomes depends on the CPU (`DOT4`):

    avx512vnni   vpdpbusd on 16 sums                     Intel since Ice Lake, AMD since Zen 4
    avxvnni      vpdpbusd on 8 sums, twice               Intel laptops since Alder Lake
    avx2         bytes widened to 16 bits, vpmaddwd      x86 since 2013 (simd_words.py has what is faster where it fits)
    i8mm         usdot on 4 sums, four times             Arm: Apple since M2, Neoverse since V1
    dotprod      sdot likewise, of weights less 128      Arm: Apple M1, Raspberry Pi 5
    portable     shifts, products and sums               everything else

All give the same result to the last bit. MINILLAMA_SIMD chooses one by hand, for tests.
"""

from __future__ import annotations

import os
import platform
import sys

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .simd import F32, I32, U8, U64, Bytes16, Bytes64, Floats16, Ints16, N, address, splat, with_twin

# The names of `DOT4` are those of the CPU's features, the best first.
FEATURES = ("avx512vnni", "avxvnni", "avx2", "i8mm", "dotprod")


def _choose_dot4() -> str:
    """Which instruction `dot4` becomes: by the CPU, or as MINILLAMA_SIMD says."""
    forced = os.environ.get("MINILLAMA_SIMD", "")
    if forced:
        if forced not in (*FEATURES, "portable"):
            raise ValueError(f"MINILLAMA_SIMD must be one of {', '.join(FEATURES)} or portable, got {forced!r}")
        return forced
    features = dict(llvm.get_host_cpu_features())
    if sys.platform == "darwin" and platform.machine() == "arm64":
        features["dotprod"] = True  # every Apple M has it; LLVM does not always say so
    return next((name for name in FEATURES if features.get(name)), "portable")


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


def _store_signed_twin(array, i, values):
    array[i : i + N] = values


@with_twin(_store_signed_twin)
def store_signed_bytes(typingctx, array, i, values):
    """Write whole floats of -128 ... 127 to elements i ... i + 15 of an int8 array."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[0], args[0], args[1], U8)
        builder.store(builder.trunc(builder.fptosi(args[2], I32), U8), place, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, Floats16), build


# --- products of bytes, for repacked_kernels.py ---


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


def in_parts(builder, n_parts, function, *vectors):
    """Apply a function of short vectors to every part of long ones, and put the results together."""
    size = N // n_parts
    parts = []
    for first in range(0, N, size):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(first, first + size)))
        parts.append(function(*[builder.shuffle_vector(v, v, mask) for v in vectors]))
    while len(parts) > 1:
        size *= 2
        mask = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(size)))
        parts = [builder.shuffle_vector(a, b, mask) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def named_instruction(builder, name, result, *arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, list(arguments)), name)


def _dot4_avx512vnni(builder, sums, weights, four):
    return builder.call(
        named_instruction(builder, "llvm.x86.avx512.vpdpbusd.512", I32, I32, I32, I32), [sums, weights, four]
    )


def _dot4_avxvnni(builder, sums, weights, four):
    half = ir.VectorType(ir.IntType(32), 8)
    instruction = named_instruction(builder, "llvm.x86.avx512.vpdpbusd.256", half, half, half, half)
    return in_parts(builder, 2, lambda *v: builder.call(instruction, v), sums, weights, four)


def _dot4_avx2(builder, sums, weights, four):
    """vpmaddwd adds two products of 16 bits: once for bytes 0 and 2 of each four, once for 1 and 3."""
    half, words = ir.VectorType(ir.IntType(32), 8), ir.VectorType(ir.IntType(16), 16)
    multiply = named_instruction(builder, "llvm.x86.avx2.pmadd.wd", half, words, words)
    eight = ir.Constant(words, [8] * 16)

    def dot(sums, weights, four):
        w, x = builder.bitcast(weights, words), builder.bitcast(four, words)
        even = builder.call(
            multiply, [builder.and_(w, ir.Constant(words, [255] * 16)), builder.ashr(builder.shl(x, eight), eight)]
        )
        odd = builder.call(multiply, [builder.lshr(w, eight), builder.ashr(x, eight)])
        return builder.add(sums, builder.add(even, odd))

    return in_parts(builder, 2, dot, sums, weights, four)


def _dot4_i8mm(builder, sums, weights, four):
    quarter, octets = ir.VectorType(ir.IntType(32), 4), ir.VectorType(ir.IntType(8), 16)
    instruction = named_instruction(builder, "llvm.aarch64.neon.usdot.v4i32.v16i8", quarter, quarter, octets, octets)

    def dot(sums, weights, four):
        return builder.call(instruction, [sums, builder.bitcast(weights, octets), builder.bitcast(four, octets)])

    return in_parts(builder, 4, dot, sums, weights, four)


def _dot4_dotprod(builder, sums, weights, four):
    """sdot takes signed bytes: (w - 128) . x + 64 . x + 64 . x, the last two the same in every lane."""
    quarter, octets = ir.VectorType(ir.IntType(32), 4), ir.VectorType(ir.IntType(8), 16)
    instruction = named_instruction(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", quarter, quarter, octets, octets)
    flip, offset = ir.Constant(octets, [128] * 16), ir.Constant(octets, [64] * 16)

    def dot(sums, weights, four):
        signed, x = builder.xor(builder.bitcast(weights, octets), flip), builder.bitcast(four, octets)
        for factor in (offset, offset, signed):
            sums = builder.call(instruction, [sums, factor, x])
        return sums

    return in_parts(builder, 4, dot, sums, weights, four)


_DOT4 = {
    "portable": _dot4_portable,
    "avx2": _dot4_avx2,
    "avxvnni": _dot4_avxvnni,
    "avx512vnni": _dot4_avx512vnni,
    "i8mm": _dot4_i8mm,
    "dotprod": _dot4_dotprod,
}


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


@with_twin(lambda sums: sums.astype(np.float32))
def ints_to_floats(typingctx, sums):
    """16 integers as floats."""

    def build(context, builder, signature, args):
        return builder.sitofp(args[0], F32)

    return Floats16(Ints16), build


@with_twin(lambda a, b: a + b)
def add_ints(typingctx, a, b):
    """a + b of 16 integers each."""

    def build(context, builder, signature, args):
        return builder.add(*args)

    return Ints16(Ints16, Ints16), build
