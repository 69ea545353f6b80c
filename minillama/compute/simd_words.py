"""Vectors of bytes, continued: sums of products in 16 bits, for CPUs without an instruction like `vpdpbusd`.

AVX2 multiplies unsigned bytes with signed ones, too, and adds the products in pairs (`vpmaddubsw`), but into 16 bits.
Small numbers leave room there: a pair of products of 4 bits and 8 is at most 2 * 15 * 128 by size, and eight such
pairs are still a word. What is added up in words is widened once, by the `vpmaddwd` that also joins the two planes.

Larger numbers become words themselves, `even_words` and `odd_words`, for `dot2` in simd_packed.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from . import simd_bytes
from .simd import I32, Bytes64, Ints16, N, address, splat, with_twin
from .simd_packed import I16, Words32

# Whether products with one row of activations are made of words.
USES_WORDS = simd_bytes.DOT4 == "avx2"


def _of_words(value: int) -> Any:
    return ir.Constant(I16, [value] * 2 * N)


def _in_halves(builder: Any, instruction: Any, a: Any, b: Any) -> Any:
    """An instruction of AVX2 on both halves of its arguments."""
    parts = []
    for first in (0, 1):
        halves = []
        for v in (a, b):
            size = v.type.count // 2
            mask = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(first * size, (first + 1) * size)))
            halves.append(builder.shuffle_vector(v, v, mask))
        parts.append(builder.call(instruction, halves))
    both = ir.VectorType(ir.IntType(32), 2 * parts[0].type.count)
    return builder.shuffle_vector(*parts, ir.Constant(both, list(range(both.count))))


@with_twin(lambda value: np.full(2 * N, value, np.int16))
def splat_word(typingctx, value):
    """32 times the same word."""

    def build(context, builder, signature, args):
        first = builder.insert_element(
            ir.Constant(I16, ir.Undefined), builder.trunc(args[0], ir.IntType(16)), ir.Constant(ir.IntType(32), 0)
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 2 * N), [0] * 2 * N)
        return builder.shuffle_vector(first, first, zeros)

    return Words32(types.intp), build


def _less(builder, words, zero):
    """Each word less the zero."""
    zeros = builder.insert_element(
        ir.Constant(I16, ir.Undefined), builder.trunc(zero, ir.IntType(16)), ir.Constant(ir.IntType(32), 0)
    )
    every = ir.Constant(ir.VectorType(ir.IntType(32), 2 * N), [0] * 2 * N)
    return builder.sub(words, builder.shuffle_vector(zeros, zeros, every))


@with_twin(lambda numbers, zero: numbers[0::2].astype(np.int16) - np.int16(zero))
def even_words(typingctx, numbers, zero):
    """Unsigned bytes 4n and 4n + 2, less the zero, as words 2n and 2n + 1."""

    def build(context, builder, signature, args):
        words = builder.and_(builder.bitcast(args[0], I16), _of_words(255))
        return _less(builder, words, args[1])

    return Words32(Bytes64, types.intp), build


@with_twin(lambda numbers, zero: numbers[1::2].astype(np.int16) - np.int16(zero))
def odd_words(typingctx, numbers, zero):
    """The same of bytes 4n + 1 and 4n + 3."""

    def build(context, builder, signature, args):
        words = builder.lshr(builder.bitcast(args[0], I16), _of_words(8))
        return _less(builder, words, args[1])

    return Words32(Bytes64, types.intp), build


def _pairs_generic(builder: Any, weights: Any, four: Any) -> Any:
    """Even bytes and odd ones, widened."""
    eight = _of_words(8)
    even = builder.mul(builder.and_(weights, _of_words(255)), builder.ashr(builder.shl(four, eight), eight))
    return builder.add(even, builder.mul(builder.lshr(weights, eight), builder.ashr(four, eight)))


def _pairs_avx2(builder: Any, weights: Any, four: Any) -> Any:
    octets, words = ir.VectorType(ir.IntType(8), 32), ir.VectorType(ir.IntType(16), 16)
    multiply = simd_bytes.named_instruction(builder, "llvm.x86.avx2.pmadd.ub.sw", words, octets, octets)
    every = ir.VectorType(ir.IntType(8), 64)
    return _in_halves(builder, multiply, builder.bitcast(weights, every), builder.bitcast(four, every))


def _add_pairs_twin(sums, weights, x, i):
    products = weights.reshape(N, 4).astype(np.int16) * x[i : i + 4].astype(np.int16)
    return sums + products.reshape(2 * N, 2).sum(axis=1, dtype=np.int16)


@with_twin(_add_pairs_twin)
def add_pairs(typingctx, sums, weights, x, i):
    """sums[2n] + weights[4n] * x[i] + weights[4n + 1] * x[i + 1], and sums[2n + 1] + those of the next two.

    The weights are unsigned bytes, x an int8 array. The caller knows that the products of a pair fit
    in a word, and the sums too.
    """

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[2], args[2], args[3], ir.IntType(32))
        four = builder.bitcast(splat(builder, builder.load(place, align=1), I32), I16)
        pairs = _pairs_avx2 if simd_bytes.DOT4 == "avx2" else _pairs_generic
        return builder.add(args[0], pairs(builder, builder.bitcast(args[1], I16), four))

    return Words32(Words32, Bytes64, x, types.intp), build


def _add_neighbours(builder: Any, words: Any, factor: int) -> Any:
    """factor * (words[2n] + words[2n + 1]) in 32 bits."""
    if simd_bytes.DOT4 == "avx2":
        half, short = ir.VectorType(ir.IntType(32), 8), ir.VectorType(ir.IntType(16), 16)
        multiply = simd_bytes.named_instruction(builder, "llvm.x86.avx2.pmadd.wd", half, short, short)
        return _in_halves(builder, multiply, words, _of_words(factor))
    both, sixteen = builder.bitcast(words, I32), ir.Constant(I32, [16] * N)
    total = builder.add(builder.ashr(both, sixteen), builder.ashr(builder.shl(both, sixteen), sixteen))
    return builder.mul(total, ir.Constant(I32, [factor] * N))


def _join_words_twin(high, low):
    high, low = (plane.reshape(N, 2).sum(axis=1, dtype=np.int32) for plane in (high, low))
    return np.int32(128) * high + low


@with_twin(_join_words_twin)
def join_words(typingctx, high, low):
    """128 * (high[2n] + high[2n + 1]) + low[2n] + low[2n + 1]: sums of both planes, widened and put together."""

    def build(context, builder, signature, args):
        return builder.add(_add_neighbours(builder, args[0], 128), _add_neighbours(builder, args[1], 1))

    return Ints16(Words32, Words32), build
