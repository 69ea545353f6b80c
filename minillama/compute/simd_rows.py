"""Vectors of sums for several rows of activations at once: the innermost loops of products with many rows.

A *tile* is a few rows of activations times 16 outputs, or a multiple of that. Its sums stay in
registers, as a tuple of vectors, while the columns pass by.

Activations have 15 bits, the sign among them. Whole, as words, they are multiplied with weights that have been
unpacked to words before, by `add_tile`: `vpdpwssd`, or `vpmaddwd` and an addition.

`add_rows` takes weights as they are, bytes. Where a CPU has products of bytes (`PLANES`), activations
stay in their two planes, and every sum is two; on AVX2 `add_rows` makes words of the weights.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from . import simd_bytes
from .jit import helper
from .simd import I32, U8, Bytes64, Ints16, N, address, splat, with_twin
from .simd_bytes import ints_to_floats, join_planes
from .simd_packed import I16, dot2_vectors, store_joined

PLANES = simd_bytes.DOT4 != "avx2"
_NUMBER = ir.IntType(64)


def _offset(builder, index, n):
    return builder.add(index, ir.Constant(_NUMBER, n))


# --- activations: 4 columns of a row are 4 words, or 4 bytes of either plane --------------------


def _store_planes_twin(words, i, high, low, c):
    both = np.stack((high[c : c + N].reshape(4, 4), low[c : c + N].reshape(4, 4)), axis=1)
    words[i : i + N].view(np.int8)[...] = both.ravel()


@with_twin(_store_planes_twin)
def _store_planes(typingctx, words, i, high, low, c):
    """Write columns c ... c + 15 of both planes to elements i ... of an int16 array, four of each in turn."""

    def build(context, builder, signature, args):
        upper, lower = (
            builder.load(address(context, builder, signature.args[n], args[n], args[4], U8), align=1) for n in (2, 3)
        )
        order = [N * (n // 4 % 2) + 4 * (n // 8) + n % 4 for n in range(2 * N)]
        mixed = builder.shuffle_vector(upper, lower, ir.Constant(ir.VectorType(ir.IntType(32), 2 * N), order))
        place = address(context, builder, signature.args[0], args[0], args[1], ir.VectorType(ir.IntType(8), 2 * N))
        builder.store(mixed, place, align=2)
        return context.get_dummy_value()

    return types.void(words, types.intp, high, low, types.intp), build


# store_row(words, i, high, low, c): 16 columns of a row of activations, as `add_rows` reads them.
store_row = _store_planes if PLANES else store_joined


# --- the sums of a tile ------------------------------------------------------------------------

_PER_ROW = 2 if PLANES else 1  # sums of a row and 16 outputs


def _no_sums_twin(n):
    return tuple(np.zeros(N, np.int32) for _ in range(n))


@with_twin(_no_sums_twin)
def no_sums(typingctx, n):
    """A tuple of n times 16 integers, all zero; n is written out where this is called."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    tile = types.UniTuple(Ints16, n.literal_value)

    def build(context, builder, signature, args):
        return context.make_tuple(builder, tile, [ir.Constant(I32, [0] * N)] * tile.count)

    return tile(n), build


def _start_rows_twin(starts, i, n):
    planes = [np.zeros(N, np.int32)] * (_PER_ROW - 1)
    return tuple(part for r in range(n) for part in (*planes, np.full(N, starts[i + r], np.int32)))


@with_twin(_start_rows_twin)
def start_rows(typingctx, starts, i, n):
    """Sums of n rows that begin with elements i ... i + n - 1 of an int32 array."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    tile = types.UniTuple(Ints16, _PER_ROW * n.literal_value)

    def build(context, builder, signature, args):
        sums = []
        for r in range(n.literal_value):
            place = address(context, builder, starts, args[0], _offset(builder, args[1], r), ir.IntType(32))
            sums += [ir.Constant(I32, [0] * N)] * (_PER_ROW - 1) + [splat(builder, builder.load(place, align=4), I32)]
        return context.make_tuple(builder, tile, sums)

    return tile(starts, types.intp, n), build


def _broadcast(context, builder, array_type, array, index):
    """Two words, or four bytes, of the activations in every lane."""
    place = address(context, builder, array_type, array, index, ir.IntType(32))
    return splat(builder, builder.load(place, align=2), I32)


def _add_rows_twin(sums, weights, x, i):
    bytes_of_lanes, parts = weights.reshape(N, 4).astype(np.int32), []
    for n, part in enumerate(sums):
        at = i + 32 * (n // _PER_ROW)
        four = x[at : at + 4]
        four = four.view(np.int8)[4 * (n % 2) :][:4] if PLANES else four[[0, 2, 1, 3]]
        parts.append(part + (bytes_of_lanes * four.astype(np.int32)).sum(axis=1, dtype=np.int32))
    return tuple(parts)


@with_twin(_add_rows_twin)
def add_rows(typingctx, sums, weights, x, i):
    """Add the products of 4 columns of 16 outputs, as unsigned bytes, with every row of a tile.

    The first row's activations begin at element i of an int16 array, the next one's 32 further.
    """

    def add_words(context, builder, parts, args):
        low, eight = ir.Constant(I16, [255] * 2 * N), ir.Constant(I16, [8] * 2 * N)
        words = builder.bitcast(args[1], I16)
        even = builder.bitcast(builder.and_(words, low), I32)
        odd = builder.bitcast(builder.lshr(words, eight), I32)
        for r, part in enumerate(parts):
            at = _offset(builder, args[3], 32 * r)
            part = dot2_vectors(builder, part, even, _broadcast(context, builder, x, args[2], at))
            yield dot2_vectors(builder, part, odd, _broadcast(context, builder, x, args[2], _offset(builder, at, 2)))

    def add_planes(context, builder, parts, args):
        bytes_ = builder.bitcast(args[1], I32)
        for n, part in enumerate(parts):
            at = _offset(builder, args[3], 32 * (n // 2) + 2 * (n % 2))
            yield simd_bytes._DOT4[simd_bytes.DOT4](builder, part, bytes_, _broadcast(context, builder, x, args[2], at))

    def build(context, builder, signature, args):
        parts = cgutils.unpack_tuple(builder, args[0], sums.count)
        add = add_planes if PLANES else add_words
        return context.make_tuple(builder, sums, list(add(context, builder, parts, args)))

    return sums(sums, Bytes64, x, types.intp), build


def _add_tile_twin(sums, words, i, x, j, n_groups):
    parts = []
    for n, part in enumerate(sums):
        w = words[i + 32 * (n % n_groups) :][:32].reshape(N, 2)
        two = x[j + 32 * (n // n_groups) :][:2]
        parts.append(part + (w * two.astype(np.int32)).sum(axis=1, dtype=np.int32))
    return tuple(parts)


@with_twin(_add_tile_twin)
def add_tile(typingctx, sums, words, i, x, j, n_groups):
    """Add the products of 2 columns with every row of a tile, for `n_groups` times 16 outputs: sums row by row.

    The words of these columns begin at element i of an int16 array, those of each next 16 outputs 32 further;
    the activations of the first row at element j, those of each next row 32 further.
    """
    if not isinstance(n_groups, types.IntegerLiteral):
        return None
    width = n_groups.literal_value

    def build(context, builder, signature, args):
        parts = cgutils.unpack_tuple(builder, args[0], sums.count)
        loaded = []
        for g in range(width):
            place = address(context, builder, words, args[1], _offset(builder, args[2], 32 * g), I32)
            loaded.append(builder.load(place, align=2))
        added = []
        for first in range(0, len(parts), width):
            two = _broadcast(context, builder, x, args[3], _offset(builder, args[4], 32 * (first // width)))
            added += [dot2_vectors(builder, part, w, two) for part, w in zip(parts[first : first + width], loaded)]
        return context.make_tuple(builder, sums, added)

    return sums(sums, words, types.intp, x, types.intp, n_groups), build


@helper(inline=True)
def _sum_of_words(sums, r):
    return ints_to_floats(sums[r])


@helper(inline=True)
def _sum_of_planes(sums, r):
    return join_planes(sums[2 * r], sums[2 * r + 1])


# row_sum(sums, r): what `start_rows` and `add_rows` have summed for a row, as 16 floats.
row_sum = _sum_of_planes if PLANES else _sum_of_words
