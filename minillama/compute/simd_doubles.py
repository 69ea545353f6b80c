"""Vectors of 8 doubles, for sums and exponentials that decide which token is drawn; see simd.py for how it works.

Eight doubles are one AVX-512 register, two of AVX2, four of NEON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import register_model

from .simd import VectorModel, address, with_twin

N_DOUBLES = 8

F64 = ir.VectorType(ir.DoubleType(), N_DOUBLES)
_I64 = ir.VectorType(ir.IntType(64), N_DOUBLES)


# Numba's cache finds this class again by its name.
class _Doubles8(types.Type):
    vector = F64


register_model(_Doubles8)(VectorModel)
Doubles8 = _Doubles8("Doubles8")


def _constant(value: float) -> ir.Constant:
    return ir.Constant(F64, [value] * N_DOUBLES)


def _turned(builder: Any, vector: Any, half: int) -> Any:
    """The elements moved by `half` places, round the end."""
    places = [(i + half) % N_DOUBLES for i in range(N_DOUBLES)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), N_DOUBLES), places)
    return builder.shuffle_vector(vector, vector, mask)


def _folded(builder: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:
    """All elements joined into one: first halves with halves, then quarters, then neighbours."""
    for half in (4, 2, 1):
        vector = join(vector, _turned(builder, vector, half))
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@with_twin(lambda array, i: array[i : i + N_DOUBLES].astype(np.float64))
def load_doubles(typingctx, array, i):
    """Elements i ... i + 7 of an array of float32 or float64, as doubles. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        kind, size = (ir.DoubleType(), 8) if array.dtype == types.float64 else (ir.FloatType(), 4)
        stored = ir.VectorType(kind, N_DOUBLES)
        value = builder.load(address(context, builder, array, args[0], args[1], stored), align=size)
        return value if size == 8 else builder.fpext(value, F64)

    return Doubles8(array, types.intp), build


def _store_twin(array, i, values):
    array[i : i + N_DOUBLES] = values


@with_twin(_store_twin)
def store_doubles(typingctx, array, i, values):
    """Write to elements i ... i + 7 of a float64 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        builder.store(args[2], address(context, builder, array, args[0], args[1], F64), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, Doubles8), build


@with_twin(lambda a, b: a + b)
def add_doubles(typingctx, a, b):
    """a + b."""

    def build(context, builder, signature, args):
        return builder.fadd(*args)

    return Doubles8(Doubles8, Doubles8), build


@with_twin(np.maximum)
def larger_doubles(typingctx, a, b):
    """The larger of each pair of doubles; b where one of them is NaN."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return Doubles8(Doubles8, Doubles8), build


@with_twin(lambda a: a.max())
def largest_of_doubles(typingctx, a):
    """The largest of 8 doubles."""

    def build(context, builder, signature, args):
        return _folded(builder, args[0], lambda x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))

    return types.float64(Doubles8), build


@with_twin(lambda a: ((a[:4] + a[4:])[:2] + (a[:4] + a[4:])[2:]).sum())
def sum_of_doubles(typingctx, a):
    """The sum of 8 doubles."""

    def build(context, builder, signature, args):
        return _folded(builder, args[0], builder.fadd)

    return types.float64(Doubles8), build


@with_twin(lambda a, least: sum((a[i] >= least) << i for i in range(N_DOUBLES)))
def bits_of_large(typingctx, a, least):
    """A whole number whose bit i says whether element i is `least` or more."""

    def build(context, builder, signature, args):
        bits = builder.bitcast(builder.fcmp_ordered(">=", args[0], _splat(builder, args[1])), ir.IntType(N_DOUBLES))
        return builder.zext(bits, ir.IntType(64))

    return types.intp(Doubles8, types.float64), build


# (exp(r) - 1 - r) / r ** 2 for |r| <= ln(2) / 2, by Chebyshev points, to 1e-16: the last coefficient first.
_EXP_SERIES = (
    2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06, 2.4801521295954376e-05,
    0.00019841269863053618, 0.0013888888917213717, 0.008333333333330062, 0.04166666666662413,
    0.16666666666666669, 0.5000000000000001,
)  # fmt: skip
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Added to n, it leaves n + 1023, which is the exponent of 2 ** n, in the lowest bits of the double.
_EXPONENT_BELOW = 1.5 * 2.0**52 + 1023


def _exp_twin(a, largest, factor):
    with np.errstate(over="ignore", invalid="ignore"):
        x = (a - largest) * factor
        return np.where(x < -708.0, 0.0, np.exp(x))


@with_twin(_exp_twin)
def exp_below(typingctx, a, largest, factor):
    """exp((a - largest) * factor) of each double, where no `a` is more than `largest`, to the last bit.

    2 ** n * exp(r) with x = n * ln(2) + r. Below exp(-708) it is 0; NaN stays NaN.
    """

    def build(context, builder, signature, args):
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(F64, [F64] * 3), f"llvm.fma.v{N_DOUBLES}f64"
        )
        shift, scale = (_splat(builder, value) for value in args[1:])
        x = builder.fmul(builder.fsub(args[0], shift), scale)
        small = builder.fcmp_ordered("<", x, _constant(-708.0))
        x = builder.select(small, _constant(-708.0), x)
        with_exponent = builder.call(fma, [x, _constant(1.4426950408889634), _constant(_EXPONENT_BELOW)])
        n = builder.fsub(with_exponent, _constant(_EXPONENT_BELOW))
        r = builder.call(fma, [n, _constant(-_LN2_HIGH), x])
        r = builder.call(fma, [n, _constant(-_LN2_LOW), r])
        series = _constant(_EXP_SERIES[0])
        for coefficient in _EXP_SERIES[1:]:
            series = builder.call(fma, [series, r, _constant(coefficient)])
        series = builder.fadd(builder.call(fma, [builder.fmul(series, r), r, r]), _constant(1.0))
        bits = builder.shl(builder.bitcast(with_exponent, _I64), ir.Constant(_I64, [52] * N_DOUBLES))
        return builder.select(small, _constant(0.0), builder.fmul(series, builder.bitcast(bits, F64)))

    return Doubles8(Doubles8, types.float64, types.float64), build


def _splat(builder: Any, scalar: Any) -> Any:
    first = builder.insert_element(ir.Constant(F64, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), N_DOUBLES), [0] * N_DOUBLES)
    return builder.shuffle_vector(first, ir.Constant(F64, ir.Undefined), zeros)
