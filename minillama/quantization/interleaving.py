"""Sixteen rows side by side: what repacking a matrix comes down to, once its blocks are taken apart.

    out[group, block, part, 16 i + lane] = source[16 group + lane, block, part, i]        i counts numbers

A number is 1, 2 or 4 bytes that stay together. All weights of a model go through here when it is loaded, so the
compiled twin is worth having: it reads a row where it is mapped and writes as fast as memory takes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..compute.array_types import Bytes
from ..compute.forking import one_at_a_time
from ..compute.jit import threaded
from ..compute.simd import address, with_twin

ROWS = 16  # rows side by side, one lane each


def interleave(source: Bytes, out: Bytes, size: int, flip: int = 0) -> None:
    """Put the numbers of 16 rows side by side, with NumPy.

    Parameters
    ----------
    source : uint8 ndarray of shape (R, B, P, n), whose last axis is contiguous
        R rows, a multiple of 16, of B blocks with P parts of n bytes.
    out : uint8 ndarray of shape (R / 16, B, P, 16 n), likewise
    size : 1, 2 or 4
        Bytes of a number.
    flip : int
        Bits to turn over in every byte. 128 adds 128 to it, or takes it away: signed bytes become unsigned ones.
    """
    n_rows, n_blocks, n_parts, _ = source.shape
    number = np.dtype(f"u{size}")
    numbers = (np.ascontiguousarray(source) ^ np.uint8(flip)).view(number)
    grouped = numbers.reshape(n_rows // ROWS, ROWS, n_blocks, n_parts, -1).transpose(0, 2, 3, 4, 1)
    out.view(number).reshape(grouped.shape)[...] = grouped


def interleave_fast(source: Bytes, out: Bytes, size: int, flip: int = 0) -> None:
    """As `interleave`, compiled."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return interleave(source, out, size, flip)
    _, n_blocks, n_parts, n_bytes = source.shape
    with one_at_a_time():  # another thread may be answering with a model that is there already
        _interleave(
            len(out), _extent(source, writeable=False), *source.strides[:3], _extent(out, writeable=True),
            *out.strides[:3], n_blocks, n_parts, n_bytes, size, flip * 0x01010101, size=source.size,
        )  # fmt: skip


def _extent(array: Bytes, *, writeable: bool) -> NDArray[Any]:
    """The bytes from the first to the last of an array, what lies between its rows included."""
    n_bytes = 1 + sum((n - 1) * stride for n, stride in zip(array.shape, array.strides)) if array.size else 0
    return as_strided(array, (n_bytes,), (1,), writeable=writeable)


def _number_mover(size: int) -> Any:
    def twin(source, at, out, to, flip):
        out[to : to + size] = source[at : at + size] ^ np.uint8(flip & 255)

    @with_twin(twin)
    def move(typingctx, source, at, out, to, flip):
        """Copy `size` bytes of a uint8 array into another, some bits of each turned over. Nothing checks the bounds."""
        number = ir.IntType(8 * size)

        def build(context, builder, signature, args):
            kinds = signature.args
            value = builder.load(address(context, builder, kinds[0], args[0], args[1], number), align=1)
            value = builder.xor(value, builder.trunc(args[4], number))
            builder.store(value, address(context, builder, kinds[2], args[2], args[3], number), align=1)
            return context.get_dummy_value()

        return types.void(source, types.intp, out, types.intp, types.intp), build

    return move


move_1, move_2, move_4 = (_number_mover(size) for size in (1, 2, 4))


def _move_square_twin(source, at, step, out, to, flip):
    rows = np.stack([source[at + row * step : at + row * step + 16] ^ np.uint8(flip & 255) for row in range(4)])
    for column, numbers in enumerate(rows.view(np.uint32).T.copy()):
        out[to + 64 * column : to + 64 * column + 16] = numbers.view(np.uint8)


@with_twin(_move_square_twin)
def move_square(typingctx, source, at, step, out, to, flip):
    """Copy 4 numbers of 4 bytes from each of 4 rows, `step` bytes apart, to where 4 of 16 lanes have them.

    A square of 4 by 4 is turned over its diagonal in registers. Nothing checks the bounds.
    """
    four = ir.VectorType(ir.IntType(32), 4)

    def shuffled(builder, a, b, *order):
        return builder.shuffle_vector(a, b, ir.Constant(four, order))

    def build(context, builder, signature, args):
        kinds, rows = signature.args, []
        flips = ir.Constant(four, ir.Undefined)
        for lane in range(4):
            number = builder.trunc(args[5], four.element)
            flips = builder.insert_element(flips, number, ir.Constant(ir.IntType(32), lane))
        for row in range(4):
            at_row = builder.add(args[1], builder.mul(args[2], ir.Constant(args[2].type, row)))
            place = address(context, builder, kinds[0], args[0], at_row, four)
            rows.append(builder.xor(builder.load(place, align=1), flips))
        low = [shuffled(builder, a, b, 0, 4, 1, 5) for a, b in (rows[:2], rows[2:])]
        high = [shuffled(builder, a, b, 2, 6, 3, 7) for a, b in (rows[:2], rows[2:])]
        columns = [shuffled(builder, *pair, *order) for pair in (low, high) for order in ((0, 1, 4, 5), (2, 3, 6, 7))]
        for i, column in enumerate(columns):
            to_column = builder.add(args[4], ir.Constant(args[4].type, 64 * i))
            builder.store(column, address(context, builder, kinds[3], args[3], to_column, four), align=1)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, out, types.intp, types.intp), build


@threaded(from_size=1 << 18)
def _interleave(
    first, last, source, row_step, block_step, part_step, out, group_to, block_to, part_to, n_blocks, n_parts, n_bytes,
    size, flip,
):  # fmt: skip
    for group in range(first, last):
        for block in range(n_blocks):
            for part in range(n_parts):
                begin = 16 * group * row_step + block * block_step + part * part_step
                to = group * group_to + block * block_to + part * part_to
                if size == 4:
                    squares = n_bytes // 16 * 16
                    for i in range(0, squares, 16):
                        for lane in range(0, 16, 4):
                            at = begin + lane * row_step + i
                            move_square(source, at, row_step, out, to + 16 * i + 4 * lane, flip)
                    for i in range(squares, n_bytes, 4):
                        for lane in range(16):
                            move_4(source, begin + lane * row_step + i, out, to + 16 * i + 4 * lane, flip)
                elif size == 2:
                    for i in range(0, n_bytes, 2):
                        for lane in range(16):
                            move_2(source, begin + lane * row_step + i, out, to + 16 * i + 2 * lane, flip)
                else:
                    for i in range(n_bytes):
                        for lane in range(16):
                            move_1(source, begin + lane * row_step + i, out, to + 16 * i + lane, flip)
