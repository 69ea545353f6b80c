"""Vectors of bytes, continued: numbers of six bits, numbers that stand for an entry of a table, words.

Words are 16-bit integers: bytes that simd_words.py has widened. `dot2` multiplies 32 of them and
adds the products in pairs, `vpdpwssd` or `vpmaddwd` on x86; LLVM finds Arm's instructions by itself.

Looking bytes up in a table of 16 is one instruction on x86 (`pshufb`, of 16, 32 or 64 bytes at once)
and on Arm (`tbl`). Elsewhere the table is walked through: for each of its entries, the bytes that
ask for it take it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import register_model

from . import simd_bytes
from .simd import I32, U64, Bytes16, Bytes64, Ints16, N, VectorModel, address, splat, with_twin

I16 = ir.VectorType(ir.IntType(16), 2 * N)


class _Words32(types.Type):
    vector = I16


register_model(_Words32)(VectorModel)
Words32 = _Words32("Words32")

# Of each `DOT4`: the instruction that looks bytes up, and how many at once.
_LOOK_UP = {
    "avx512vnni": ("llvm.x86.avx512.pshuf.b.512", 64),
    "avxvnni": ("llvm.x86.avx2.pshuf.b", 32),
    "avx2": ("llvm.x86.avx2.pshuf.b", 32),
    "i8mm": ("llvm.aarch64.neon.tbl1.v16i8", 16),
    "dotprod": ("llvm.aarch64.neon.tbl1.v16i8", 16),
}


@with_twin(lambda low, packed, n: low | (packed >> np.uint8(2 * n) & np.uint8(3)) << np.uint8(4))
def with_upper_pair(typingctx, low, packed, n):
    """Numbers of six bits: the lower four as they are, the upper two from bits 2n and 2n + 1 of the same byte."""

    def build(context, builder, signature, args):
        byte = ir.IntType(8)
        shift = builder.trunc(builder.mul(args[2], ir.Constant(args[2].type, 2)), byte)
        first = builder.insert_element(ir.Constant(U64, ir.Undefined), shift, ir.Constant(ir.IntType(32), 0))
        every = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        shifted = builder.lshr(args[1], builder.shuffle_vector(first, first, every))
        pair = builder.and_(shifted, ir.Constant(U64, [3] * 64))
        return builder.or_(args[0], builder.shl(pair, ir.Constant(U64, [4] * 64)))

    return Bytes64(Bytes64, Bytes64, types.intp), build


def _walk_through(builder: Any, table: Any, numbers: Any, size: int) -> Any:
    vector = numbers.type
    found = ir.Constant(vector, [0] * size)
    for n in range(16):
        here = builder.icmp_unsigned("==", numbers, ir.Constant(vector, [n] * size))
        entry = builder.shuffle_vector(table, table, ir.Constant(ir.VectorType(ir.IntType(32), size), [n] * size))
        found = builder.select(here, entry, found)
    return found


def _by_instruction(builder: Any, table: Any, numbers: Any, size: int) -> Any:
    """In as many steps as the instruction needs; 16 bytes alone take the shortest one."""
    name, width = _LOOK_UP[simd_bytes.DOT4]
    if width > size:
        name, width = "llvm.x86.ssse3.pshuf.b.128", 16
    vector = ir.VectorType(ir.IntType(8), width)
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector, vector]), name)
    places = ir.VectorType(ir.IntType(32), width)
    repeated = builder.shuffle_vector(table, table, ir.Constant(places, [n % 16 for n in range(width)]))
    parts = []
    for first in range(0, size, width):
        mask = ir.Constant(places, list(range(first, first + width)))
        parts.append(builder.call(function, [repeated, builder.shuffle_vector(numbers, numbers, mask)]))
    while len(parts) > 1:
        width *= 2
        mask = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(width)))
        parts = [builder.shuffle_vector(a, b, mask) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


@with_twin(lambda table, numbers: table[numbers])
def look_up(typingctx, table, numbers):
    """The entries of a table of 16 bytes that 16 or 64 numbers below 16 stand for."""
    size = 64 if numbers is Bytes64 else 16

    def build(context, builder, signature, args):
        find = _by_instruction if simd_bytes.DOT4 in _LOOK_UP else _walk_through
        return find(builder, args[0], args[1], size)

    return numbers(Bytes16, numbers), build


def _store_joined_twin(words, i, high, low, c):
    joined = np.int16(128) * high[c : c + N] + low[c : c + N]
    words[i : i + N] = joined.reshape(-1, 2, 2).swapaxes(1, 2).ravel()


@with_twin(_store_joined_twin)
def store_joined(typingctx, words, i, high, low, c):
    """Write 128 * high + low of columns c ... c + 15 to elements i ... of an int16 array, in the order of words:
    of every four the first and the third, then the second and the fourth.
    """

    def build(context, builder, signature, args):
        short = ir.VectorType(ir.IntType(16), N)
        planes = [
            address(context, builder, signature.args[n], args[n], args[4], ir.VectorType(ir.IntType(8), N))
            for n in (2, 3)
        ]
        upper, lower = (builder.sext(builder.load(place, align=1), short) for place in planes)
        joined = builder.add(builder.shl(upper, ir.Constant(short, [7] * N)), lower)
        order = ir.Constant(ir.VectorType(ir.IntType(32), N), [4 * (n // 4) + (0, 2, 1, 3)[n % 4] for n in range(N)])
        place = address(context, builder, signature.args[0], args[0], args[1], short)
        builder.store(builder.shuffle_vector(joined, joined, order), place, align=2)
        return context.get_dummy_value()

    return types.void(words, types.intp, high, low, types.intp), build


def _store_words_twin(array, i, words):
    array[i : i + 2 * N] = words


@with_twin(_store_words_twin)
def store_words(typingctx, array, i, words):
    """Write to elements i ... i + 31 of an int16 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        builder.store(args[2], address(context, builder, signature.args[0], args[0], args[1], I16), align=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, Words32), build


@with_twin(lambda array, i: array[i : i + 2 * N])
def load_words(typingctx, array, i):
    """Elements i ... i + 31 of an int16 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        return builder.load(address(context, builder, signature.args[0], args[0], args[1], I16), align=2)

    return Words32(array, types.intp), build


def _dot2_generic(builder: Any, sums: Any, words: Any, two: Any) -> Any:
    sixteen = ir.Constant(I32, [16] * N)
    upper = builder.mul(builder.ashr(words, sixteen), builder.ashr(two, sixteen))
    low_words, low_two = (builder.ashr(builder.shl(v, sixteen), sixteen) for v in (words, two))
    return builder.add(builder.add(sums, upper), builder.mul(low_words, low_two))


def _dot2_x86(builder: Any, sums: Any, words: Any, two: Any) -> Any:
    if simd_bytes.DOT4 == "avx512vnni":
        instruction = simd_bytes.named_instruction(builder, "llvm.x86.avx512.vpdpwssds.512", I32, I32, I32, I32)
        return builder.call(instruction, [sums, words, two])
    half, short = ir.VectorType(ir.IntType(32), 8), ir.VectorType(ir.IntType(16), 16)
    if simd_bytes.DOT4 == "avxvnni":
        instruction = simd_bytes.named_instruction(builder, "llvm.x86.avx512.vpdpwssds.256", half, half, half, half)
        return simd_bytes.in_parts(builder, 2, lambda *v: builder.call(instruction, v), sums, words, two)
    instruction = simd_bytes.named_instruction(builder, "llvm.x86.avx2.pmadd.wd", half, short, short)

    def dot(sums: Any, *pairs: Any) -> Any:
        return builder.add(sums, builder.call(instruction, [builder.bitcast(v, short) for v in pairs]))

    return simd_bytes.in_parts(builder, 2, dot, sums, words, two)


def dot2_vectors(builder: Any, sums: Any, words: Any, two: Any) -> Any:
    """The instructions of `dot2`; words and both activations as 16 integers."""
    find = _dot2_x86 if simd_bytes.DOT4 in ("avx512vnni", "avxvnni", "avx2") else _dot2_generic
    return find(builder, sums, words, two)


@with_twin(lambda sums, words, x, i: sums + (words.reshape(N, 2) * x[i : i + 2].astype(np.int32)).sum(axis=1))
def dot2(typingctx, sums, words, x, i):
    """sums[n] + words[2n] * x[i] + words[2n + 1] * x[i + 1] of an int16 array; nothing checks the range of the sums."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[2], args[2], args[3], ir.IntType(32))
        two = splat(builder, builder.load(place, align=2), I32)
        return dot2_vectors(builder, args[0], builder.bitcast(args[1], I32), two)

    return Ints16(Ints16, Words32, x, types.intp), build
