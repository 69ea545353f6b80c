"""Pairs of neighbouring floats in a vector, for rotations; see simd.py for how it works."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types

from .simd import Floats16, N, address, with_twin

_HALF = ir.VectorType(ir.FloatType(), N // 2)


def _indices(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


@with_twin(lambda array, i: np.repeat(array[i : i + N // 2], 2))
def load_twice(typingctx, array, i):
    """Elements i ... i + 7 of a float32 array, each twice: a, a, b, b … Nothing checks the bounds."""

    def build(context, builder, signature, args):
        half = builder.load(address(context, builder, signature.args[0], args[0], args[1], _HALF), align=4)
        return builder.shuffle_vector(half, ir.Constant(_HALF, ir.Undefined), _indices([j // 2 for j in range(N)]))

    return Floats16(array, types.intp), build


@with_twin(lambda a: np.stack((-a[1::2], a[0::2]), axis=-1).reshape(N))
def turn_pairs(typingctx, a):
    """Each pair (x, y) turned by 90 degrees: (-y, x)."""

    def build(context, builder, signature, args):
        minus = builder.fneg(args[0])
        indices = [j ^ 1 if j % 2 else N + (j ^ 1) for j in range(N)]  # the second vector is the negated one
        return builder.shuffle_vector(args[0], minus, _indices(indices))

    return Floats16(Floats16), build
