"""Vectors of numbers inside Numba kernels: 16 floats, 16 integers, 16 or 64 bytes.

LLVM vectorises a plain loop when it can prove that the loop may be vectorised, and unpacking
4-bit numbers is where it cannot. These few functions say it outright: each becomes one or two
vector instructions on any CPU that Numba supports (16 floats are one AVX-512 register, two of
AVX2, four of NEON; LLVM splits them as needed).

How it works: a Numba *intrinsic* is a function whose body is written in LLVM's own language,
through llvmlite. It has two parts: a signature for Numba's type inference, and a builder of
instructions. `Floats16` and the like are Numba types whose values are LLVM vectors.

The operations on floats are here, those on bytes in simd_bytes.py.

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

U8 = ir.VectorType(ir.IntType(8), N)
F32 = ir.VectorType(ir.FloatType(), N)


U64 = ir.VectorType(ir.IntType(8), 64)
I32 = ir.VectorType(ir.IntType(32), N)
F16 = ir.VectorType(ir.HalfType(), N)


# Numba's cache finds these classes again by their names.
class _Bytes16(types.Type):
    vector = U8


class _Bytes64(types.Type):
    vector = U64


class _Ints16(types.Type):
    vector = I32


class _Floats16(types.Type):
    vector = F32


@register_model(_Bytes16)
@register_model(_Bytes64)
@register_model(_Ints16)
@register_model(_Floats16)
class VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


Bytes16, Bytes64 = _Bytes16("Bytes16"), _Bytes64("Bytes64")
Ints16, Floats16 = _Ints16("Ints16"), _Floats16("Floats16")


def with_twin(twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make an intrinsic of the decorated typing function, or use `twin` where nothing compiles."""

    def choose(function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:  # type: ignore[attr-defined]
            return twin
        op: Any = intrinsic(function)
        op.twin = twin  # for the tests
        return op

    return choose


def address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    """Pointer to `vector` elements of a one-dimensional contiguous array, beginning at `index`."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def splat(builder: Any, scalar: Any, vector: Any) -> Any:
    """The vector whose elements are all `scalar`."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), N), [0] * N)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _store_twin(array, i, values):
    array[i : i + N] = values


@with_twin(_store_twin)
def store_floats(typingctx, array, i, values):
    """Write to elements i ... i + 15 of a float32 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[0], args[0], args[1], F32)
        builder.store(args[2], place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Floats16), build


@with_twin(lambda array, i: array[i : i + 2 * N].view(np.float16).astype(np.float32))
def load_halves(typingctx, array, i):
    """16 float16 numbers that begin at byte i of a uint8 array, as floats."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[0], args[0], args[1], F16)
        return builder.fpext(builder.load(place, align=2), F32)

    return Floats16(array, types.intp), build


@with_twin(lambda array, i: array[i : i + 4 * N].view(np.float32))
def load_singles(typingctx, array, i):
    """16 float32 numbers that begin at byte i of a uint8 array."""

    def build(context, builder, signature, args):
        return builder.load(address(context, builder, signature.args[0], args[0], args[1], F32), align=4)

    return Floats16(array, types.intp), build


def _load_brain_twin(array, i):
    return (array[i : i + 2 * N].view(np.uint16).astype(np.uint32) << 16).view(np.float32)


@with_twin(_load_brain_twin)
def load_brain_floats(typingctx, array, i):
    """16 bfloat16 numbers that begin at byte i of a uint8 array, as floats."""

    def build(context, builder, signature, args):
        short = ir.VectorType(ir.IntType(16), N)
        place = address(context, builder, signature.args[0], args[0], args[1], short)
        wide = builder.zext(builder.load(place, align=2), I32)
        return builder.bitcast(builder.shl(wide, ir.Constant(I32, [16] * N)), F32)

    return Floats16(array, types.intp), build


@with_twin(lambda array, i: array[i : i + N])
def load_floats(typingctx, array, i):
    """Elements i ... i + 15 of a float32 array. Nothing checks the bounds."""

    def build(context, builder, signature, args):
        return builder.load(address(context, builder, signature.args[0], args[0], args[1], F32), align=4)

    return Floats16(array, types.intp), build


def _stored(array_type: Any) -> tuple[Any, int]:
    """LLVM type and bytes of what an array of float32, or of float16 seen as uint16, holds."""
    return (ir.HalfType(), 2) if array_type.dtype == types.uint16 else (ir.FloatType(), 4)


def _numbers(array):
    return array.view(np.float16) if array.dtype == np.uint16 else array


def _store_number_twin(array, i, value):
    _numbers(array)[i] = value


@with_twin(_store_number_twin)
def store_number(typingctx, array, i, value):
    """Write a float to element i of an array of float32, or of float16 seen as uint16 (rounded)."""

    def build(context, builder, signature, args):
        kind, size = _stored(array)
        place = address(context, builder, array, args[0], args[1], kind)
        builder.store(builder.fptrunc(args[2], kind) if size == 2 else args[2], place, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.float32), build


@with_twin(lambda array, i: float(_numbers(array)[i]))
def load_number(typingctx, array, i):
    """Element i of an array of float32, or of float16 seen as uint16, as a float."""

    def build(context, builder, signature, args):
        kind, size = _stored(array)
        value = builder.load(address(context, builder, array, args[0], args[1], kind), align=size)
        return builder.fpext(value, ir.FloatType()) if size == 2 else value

    return types.float32(array, types.intp), build


@with_twin(lambda array, i: _numbers(array)[i : i + N].astype(np.float32))
def load_numbers(typingctx, array, i):
    """Elements i ... i + 15 of an array of float32, or of float16 seen as uint16, as floats."""

    def build(context, builder, signature, args):
        kind, size = _stored(array)
        value = builder.load(address(context, builder, array, args[0], args[1], ir.VectorType(kind, N)), align=size)
        return builder.fpext(value, F32) if size == 2 else value

    return Floats16(array, types.intp), build


@with_twin(lambda value: np.full(N, value, np.float32))
def splat_float(typingctx, value):
    """16 times the same float."""

    def build(context, builder, signature, args):
        return splat(builder, args[0], F32)

    return Floats16(types.float32), build


@with_twin(lambda a, b, c: a * b + c)
def multiply_add(typingctx, a, b, c):
    """a * b + c, rounded once."""

    def build(context, builder, signature, args):
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(F32, [F32] * 3), f"llvm.fma.v{N}f32")
        return builder.call(fma, args)

    return Floats16(Floats16, Floats16, Floats16), build


@with_twin(lambda a, b: a * b)
def multiply(typingctx, a, b):
    """a * b."""

    def build(context, builder, signature, args):
        return builder.fmul(*args)

    return Floats16(Floats16, Floats16), build


@with_twin(lambda a, b: a / b)
def divide(typingctx, a, b):
    """a / b."""

    def build(context, builder, signature, args):
        return builder.fdiv(*args)

    return Floats16(Floats16, Floats16), build


@with_twin(np.maximum)
def maximum(typingctx, a, b):
    """The larger of each pair of floats; b where one of them is NaN."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return Floats16(Floats16, Floats16), build


@with_twin(lambda a: a.max())
def max_of(typingctx, a):
    """The largest of 16 floats."""

    def build(context, builder, signature, args):
        best = args[0]
        for half in (8, 4, 2, 1):
            mask = [(i + half) % N for i in range(N)]
            turned = builder.shuffle_vector(best, best, ir.Constant(I32, mask))
            best = builder.select(builder.fcmp_ordered(">", best, turned), best, turned)
        return builder.extract_element(best, ir.Constant(ir.IntType(32), 0))

    return types.float32(Floats16), build


@with_twin(lambda a: a.sum(dtype=np.float32))
def sum_of(typingctx, a):
    """The sum of 16 floats."""

    def build(context, builder, signature, args):
        total = args[0]
        for half in (8, 4, 2, 1):
            mask = [(i + half) % N for i in range(N)]
            total = builder.fadd(total, builder.shuffle_vector(total, total, ir.Constant(I32, mask)))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(Floats16), build


@with_twin(lambda array, i: None)
def prefetch(typingctx, array, i):
    """Ask for the cache line with element i of an array ahead of time; any i will do.

    The CPU fetches ahead by itself, but not across the borders of 4 KB pages.
    """

    def build(context, builder, signature, args):
        byte = ir.IntType(8)
        place = address(context, builder, signature.args[0], args[0], args[1], byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, *(ir.Constant(ir.IntType(32), n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), build


@with_twin(np.rint)
def round_floats(typingctx, a):
    """Each float rounded to a whole number, halves to the even one."""

    def build(context, builder, signature, args):
        kind = ir.FunctionType(F32, [F32])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{N}f32"), args)

    return Floats16(Floats16), build


def _store_four_sums_twin(array, i, a, b, c, d):
    array[i : i + 4] = [v.sum(dtype=np.float32) for v in (a, b, c, d)]


@with_twin(_store_four_sums_twin)
def store_four_sums(typingctx, array, i, a, b, c, d):
    """Write the sums of four vectors to elements i ... i + 3 of a float32 array.

    The halves of two vectors are added in one step, then the quarters of four: half the work of
    four sums by themselves.
    """

    def build(context, builder, signature, args):
        vectors, width = list(args[2:]), N
        while width > 4:  # two vectors of partial sums become one, then each is folded once more
            width //= 2
            if len(vectors) > 1:
                vectors = [_fold_two(builder, x, y, width) for x, y in zip(vectors[::2], vectors[1::2])]
            else:
                vectors = [_fold_two(builder, vectors[0], vectors[0], width)]
        sums = vectors[0]  # four floats of each, one vector after the other
        for shift in (2, 1):
            turned = [4 * (n // 4) + (n + shift) % 4 for n in range(N)]
            sums = builder.fadd(sums, builder.shuffle_vector(sums, sums, ir.Constant(I32, turned)))
        four = ir.VectorType(ir.IntType(32), 4)
        firsts = builder.shuffle_vector(sums, sums, ir.Constant(four, [0, 4, 8, 12]))
        place = address(context, builder, signature.args[0], args[0], args[1], ir.VectorType(ir.FloatType(), 4))
        builder.store(firsts, place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Floats16, Floats16, Floats16, Floats16), build


def _fold_two(builder, x, y, width):
    """Add the upper half of every group of 2 * width to the lower one, of x, then of y."""
    low = [first + n for first in range(0, 2 * N, 2 * width) for n in range(width)]
    lower = builder.shuffle_vector(x, y, ir.Constant(I32, low))
    upper = builder.shuffle_vector(x, y, ir.Constant(I32, [n + width for n in low]))
    return builder.fadd(lower, upper)


# exp(r) for |r| <= ln(2) / 2 to the last bit or two of float32 (Cephes, expf).
_EXP_SERIES = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)


def _constant_floats(value):
    return ir.Constant(F32, [value] * N)


def _exp_twin(a):
    with np.errstate(over="ignore"):
        return np.exp(a)


@with_twin(_exp_twin)
def exp(typingctx, a):
    """e to the power of each float: 2 ** n * exp(r) with a = n * ln(2) + r, to 2e-7.

    The exponential of the standard library takes one number at a time; in SwiGLU and softmax
    that was most of the time.
    """

    def build(context, builder, signature, args):
        x, constant = args[0], _constant_floats
        unary = ir.FunctionType(F32, [F32])
        rint = cgutils.get_or_insert_function(builder.module, unary, f"llvm.rint.v{N}f32")
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(F32, [F32] * 3), f"llvm.fma.v{N}f32")
        small, large = builder.fcmp_ordered("<", x, constant(-87.0)), builder.fcmp_ordered(">", x, constant(88.0))
        inside = builder.select(small, constant(-87.0), builder.select(large, constant(88.0), x))
        n = builder.call(rint, [builder.fmul(inside, constant(1.44269504088896341))])
        r = builder.call(fma, [n, constant(-0.693359375), inside])
        r = builder.call(fma, [n, constant(2.12194440e-4), r])
        series = constant(_EXP_SERIES[0])
        for coefficient in _EXP_SERIES[1:]:
            series = builder.call(fma, [series, r, constant(coefficient)])
        series = builder.call(fma, [builder.fmul(series, r), r, builder.fadd(r, constant(1.0))])
        exponent = builder.add(builder.fptosi(n, I32), ir.Constant(I32, [127] * N))
        power = builder.bitcast(builder.shl(exponent, ir.Constant(I32, [23] * N)), F32)
        y = builder.select(large, constant(float("inf")), builder.fmul(series, power))
        return builder.select(small, constant(0.0), y)

    return Floats16(Floats16), build
