"""The two products of attention, a few queries at a time, with all sums in registers of the CPU.

    score_keys:  scores[r, s] = q[r] . k[s]              1 to 3 queries, 4 keys
    add_values:  y[r]        += sum over s of p[r, s] * v[s]      1 to 3 queries, as many keys as there are

A number of a key or a value that is loaded, and widened if it is a float16, serves all queries at hand: 3 queries
and 4 vectors of the other side are 12 sums, and with 4 operands they fill the 16 registers of AVX2. Vectors
are therefore as wide as one register (`LANES`), not those of simd.py.

Every sum of a query is added up in the same order, whichever queries stand beside it and wherever a block of
keys begins: the result does not depend on them, to the last bit. That is so compiled; the NumPy twins leave the
order to NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...compute.simd import with_twin
from ...compute.simd_bytes import DOT4

LANES = 16 if DOT4 == "avx512vnni" else 8  # floats of a register
KEYS = 64  # keys of a block; blocks end at multiples of it
_AHEAD = 32  # values are asked for so many keys before they are needed

_INT = ir.IntType(64)
_BYTE = ir.IntType(8)
_SINGLE, _HALF = ir.FloatType(), ir.HalfType()
_REGISTER = ir.VectorType(_SINGLE, LANES)


def _stored(array):
    """Float32, or float16 that Numba sees as uint16."""
    return array.view(np.float16) if array.dtype == np.uint16 else array


def _row(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Where a row of a matrix begins, whose rows may lie apart."""
    struct = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    stride = builder.extract_value(struct.strides, 0)
    return builder.gep(builder.bitcast(struct.data, _BYTE.as_pointer()), [builder.mul(index, stride)])


def _load(builder: Any, array_type: Any, row: Any, j: Any) -> Any:
    """LANES numbers of a row from number j on, as floats."""
    kind = _HALF if array_type.dtype == types.uint16 else _SINGLE
    place = builder.gep(builder.bitcast(row, kind.as_pointer()), [j])
    align = 2 if kind is _HALF else 4
    found = builder.load(builder.bitcast(place, ir.VectorType(kind, LANES).as_pointer()), align=align)
    return builder.fpext(found, _REGISTER) if kind is _HALF else found


def _fma(builder: Any, *args: Any) -> Any:
    kind = ir.FunctionType(_REGISTER, [_REGISTER] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), args)


def _all(builder: Any, scalar: Any) -> Any:
    """A register with the same float everywhere."""
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    undefined = ir.Constant(_REGISTER, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, zeros)


def _loop(
    builder: Any, start: Any, stop: Any, step: int, values: list[Any], body: Callable[..., list[Any]]
) -> list[Any]:
    """Write `for i in range(start, stop, step): values = body(i, values)`; what the values are in the end."""
    before = builder.block
    test, inside, after = (builder.append_basic_block(name) for name in ("test", "inside", "after"))
    builder.branch(test)
    builder.position_at_end(test)
    i = builder.phi(_INT)
    i.add_incoming(start, before)
    held = [builder.phi(value.type) for value in values]
    for phi, value in zip(held, values):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", i, stop), inside, after)
    builder.position_at_end(inside)
    changed = body(i, list(held))
    i.add_incoming(builder.add(i, _INT(step)), builder.block)
    for phi, value in zip(held, changed):
        phi.add_incoming(value, builder.block)
    builder.branch(test)
    builder.position_at_end(after)
    return held


def _mask(numbers: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def _fold(builder: Any, x: Any, y: Any, width: int) -> Any:
    """Halve the parts of two vectors in one addition: groups of 2 * width lanes have x's parts first, then y's.

    One operand is a blend, which costs next to nothing, the other one shuffle.
    """
    is_low = [n % (2 * width) < width for n in range(LANES)]
    kept = builder.shuffle_vector(x, y, _mask([n if low else LANES + n for n, low in enumerate(is_low)]))
    moved = [n + width if low else LANES + n - width for n, low in enumerate(is_low)]
    return builder.fadd(kept, builder.shuffle_vector(x, y, _mask(moved)))


def _sums(builder: Any, vectors: list[Any]) -> list[tuple[Any, list[int]]]:
    """Sums of whole vectors: a few vectors of them, each with the number of what every lane is the sum of."""
    found = [(vector, [number] * LANES) for number, vector in enumerate(vectors)]
    width = LANES // 2
    while width:
        pairs = [(found[i], found[min(i + 1, len(found) - 1)]) for i in range(0, len(found), 2)]
        found = [
            (_fold(builder, x, y, width), [a if n % (2 * width) < width else b for n, (a, b) in enumerate(zip(p, q))])
            for (x, p), (y, q) in pairs
        ]
        width //= 2
    return found


def _make_score_keys(n_rows: int) -> Any:
    def twin(q, r, k, first, at, n, i, scores):
        keys = _stored(k)[first + np.clip(np.arange(i, i + 4), at, at + n - 1) - at].astype(np.float32)
        for row in range(r, r + n_rows):
            scores[row * KEYS + i : row * KEYS + i + 4] = keys @ q[row]

    @with_twin(twin)
    def score_keys(typingctx, q, r, k, first, at, n, i, scores):
        """Scores of queries r, r + 1 … with the keys at places i ... i + 3 of a block.

        A block holds keys first, first + 1 … at places at ... at + n - 1; outside of them the nearest stands.
        """

        def build(context, builder, signature, args):
            q_type, _, k_type, *_, scores_type = signature.args
            q, r, k, first, at, n, i, scores = args
            queries = [_row(context, builder, q_type, q, builder.add(r, _INT(row))) for row in range(n_rows)]
            end = builder.sub(builder.add(at, n), _INT(1))
            keys = []
            for place in (builder.add(i, _INT(c)) for c in range(4)):
                place = builder.select(builder.icmp_signed("<", place, at), at, place)
                place = builder.select(builder.icmp_signed(">", place, end), end, place)
                keys.append(_row(context, builder, k_type, k, builder.add(first, builder.sub(place, at))))

            def add_products(j, sums):
                parts = [_load(builder, q_type, row, j) for row in queries]
                for c, key in enumerate(keys):
                    numbers = _load(builder, k_type, key, j)
                    for row, part in enumerate(parts):
                        sums[4 * row + c] = _fma(builder, part, numbers, sums[4 * row + c])
                return sums

            head_dim = builder.extract_value(cgutils.create_struct_proxy(q_type)(context, builder, value=q).shape, 1)
            zeros = [ir.Constant(_REGISTER, None)] * (4 * n_rows)
            sums = _loop(builder, _INT(0), head_dim, LANES, zeros, add_products)
            data = cgutils.create_struct_proxy(scores_type)(context, builder, value=scores).data
            for total, numbers in _sums(builder, sums):
                for row in range(n_rows):
                    if 4 * row in numbers:
                        four = builder.shuffle_vector(
                            total, total, _mask([numbers.index(4 * row + c) for c in range(4)])
                        )
                        at_row = builder.add(builder.mul(builder.add(r, _INT(row)), _INT(KEYS)), i)
                        place = builder.bitcast(builder.gep(data, [at_row]), four.type.as_pointer())
                        builder.store(four, place, align=4)
            return context.get_dummy_value()

        index = types.intp
        return types.void(q, index, k, index, index, index, index, scores), build

    return score_keys


def _make_add_values(n_rows: int) -> Any:
    def twin(p, r, v, first, at, n, is_first, y):
        values = _stored(v)[first : first + n].astype(np.float32)
        for row in range(r, r + n_rows):
            y[row, : values.shape[1]] += p[row * KEYS + at : row * KEYS + at + n] @ values

    @with_twin(twin)
    def add_values(typingctx, p, r, v, first, at, n, is_first, y):
        """Add values first, first + 1 … to rows r, r + 1 … of y, weighted by places at ... at + n - 1 of p.

        If it `is_first` it asks for values that lie further on.
        """

        def build(context, builder, signature, args):
            p_type, _, v_type, *_, y_type = signature.args
            p, r, v, first, at, n, is_first, y = args
            weights = cgutils.create_struct_proxy(p_type)(context, builder, value=p).data
            rows = [builder.add(r, _INT(row)) for row in range(n_rows)]
            weight_rows = [builder.gep(weights, [builder.add(builder.mul(row, _INT(KEYS)), at)]) for row in rows]
            y_rows = [_row(context, builder, y_type, y, row) for row in rows]
            size = 2 if v_type.dtype == types.uint16 else 4
            width = builder.extract_value(cgutils.create_struct_proxy(y_type)(context, builder, value=y).shape, 1)

            def columns(n_vectors):
                def add_columns(j, _):
                    places = [
                        builder.bitcast(
                            builder.gep(builder.bitcast(row, _SINGLE.as_pointer()), [builder.add(j, _INT(LANES * c))]),
                            _REGISTER.as_pointer(),
                        )
                        for row in y_rows
                        for c in range(n_vectors)
                    ]

                    def add_value(i, sums):
                        value = _row(context, builder, v_type, v, builder.add(first, i))
                        with builder.if_then(is_first):
                            later = _row(context, builder, v_type, v, builder.add(builder.add(first, i), _INT(_AHEAD)))
                            for byte in range(0, n_vectors * LANES * size, 64):
                                _prefetch(builder, later, builder.add(builder.mul(j, _INT(size)), _INT(byte)))
                        factors = [_all(builder, builder.load(builder.gep(row, [i]))) for row in weight_rows]
                        for c in range(n_vectors):
                            numbers = _load(builder, v_type, value, builder.add(j, _INT(LANES * c)))
                            for row, factor in enumerate(factors):
                                at_sum = row * n_vectors + c
                                sums[at_sum] = _fma(builder, factor, numbers, sums[at_sum])
                        return sums

                    sums = [builder.load(place, align=4) for place in places]
                    for place, total in zip(places, _loop(builder, _INT(0), n, 1, sums, add_value)):
                        builder.store(total, place, align=4)
                    return []

                return add_columns

            done = _INT(0)
            for n_vectors in (4, 2, 1):
                step = n_vectors * LANES
                end = builder.add(done, builder.mul(builder.sdiv(builder.sub(width, done), _INT(step)), _INT(step)))
                _loop(builder, done, end, step, [], columns(n_vectors))
                done = end
            return context.get_dummy_value()

        index = types.intp
        return types.void(p, index, v, index, index, index, types.boolean, y), build

    return add_values


def _prefetch(builder: Any, row: Any, byte: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), *[ir.IntType(32)] * 3])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.gep(row, [byte]), *(ir.Constant(ir.IntType(32), n) for n in (0, 3, 1))])


score_1, score_2, score_3 = (_make_score_keys(n_rows) for n_rows in (1, 2, 3))
add_1, add_2, add_3 = (_make_add_values(n_rows) for n_rows in (1, 2, 3))
