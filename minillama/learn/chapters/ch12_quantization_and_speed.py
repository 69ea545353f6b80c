"""Chapter 12, quantisation and speed: blocks of small integers, and products with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compute.jit import kernel
from ...quantization.formats import FORMATS, PackedArray, quantize
from ...quantization.kernels import matvec_packed
from ...quantization.repacked_kernels import quantize_rows
from ..exercise import Exercise, Mistake, Speed

BLOCK = 32


def _half_bytes(d):
    """(n,) floats as the two bytes of a float16 each, (n, 2)."""
    return np.ascontiguousarray(d, np.float16).view(np.uint8).reshape(-1, 2)


def _halves(blocks):
    """The float16 in the first two bytes of blocks (..., 18), as float32."""
    return np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)


def _reciprocal(d):
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), np.float32(1) / d).astype(np.float32)


def _away(x):
    """Rounded to the nearest integer, halves away from zero."""
    return np.trunc(x + np.copysign(np.float32(0.5), x))


# --- q8_0_quantize_blocks -----------------------------------------------------------------


def _make_q8_0(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A block of exact halves whose largest number is negative, one of zeros, and random ones."""
    x = rng.normal(size=(n, BLOCK)) * np.exp(rng.normal(size=(n, 1)))
    x[0] = 0.25 * rng.permutation(np.r_[np.arange(-15.5, 15), -127.0])
    if n > 1:
        x[1] = 0
    return (x.astype(np.float32),)


def _q8_0(x):
    packed = quantize(x, "Q8_0").data
    return _halves(packed)[:, 0].astype(np.float16), packed[:, 2:].view(np.int8)


def _q8_0_with(largest, rounding, levels=127.0, stored=np.float16):
    """The quantiser with some of its parts exchanged."""

    def function(x):
        d = (largest(x) / np.float32(levels)).astype(np.float32)
        return d[:, 0].astype(stored), rounding(x * _reciprocal(d)).astype(np.int8)

    return function


def _largest(x):
    return np.abs(x).max(axis=1, keepdims=True)


def _q8_0_rounded_scale(x):
    d = (_largest(x) / np.float32(127)).astype(np.float16)
    return d[:, 0], _away(x * _reciprocal(d.astype(np.float32))).astype(np.int8)


def _gguf_q8_0(x):
    import gguf

    packed = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0)
    return packed[:, :2].copy().view(np.float16)[:, 0], packed[:, 2:].copy().view(np.int8)


Q8_0 = Exercise(
    id="q8_0_quantize_blocks",
    chapter="12",
    title="Quantise to 8 bits",
    task="Quantise blocks of 32 numbers as Q8_0: one float16 scale and 32 signed bytes each.",
    difficulty=2,
    minutes=15,
    reference=_q8_0,
    make=_make_q8_0,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 7}, {"n": 20}),
    axes=("block", "element"),
    outputs=("d", "q"),
    oracle=_gguf_q8_0,
    hints=(
        "The number of largest size in a block must become 127 or -127. Which scale does that, and what does a "
        "block of zeros need?",
        "d = max|x| / 127 for each row, with keepdims=True so that it divides the row. Round to the nearest integer; "
        "an exact half goes away from zero, which np.round does not do.",
        "d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)\n"
        "scaled = x / np.where(d == 0, np.float32(1), d)\n"
        "q = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int8)\n"
        "return d[:, 0].astype(np.float16), q",
    ),
    mistakes=(
        Mistake(
            "Your function divides the largest size by 128.",
            "int8 reaches from -128 to 127: with d = max / 128 a positive largest number becomes 128, which does not "
            "fit. Q8_0 uses 127 on both sides.",
            _q8_0_with(_largest, _away, 128.0),
        ),
        Mistake(
            "Your function takes the largest number, not the largest size.",
            "A block whose largest number in size is negative needs its absolute value: np.abs(x).max(axis=1).",
            _q8_0_with(lambda x: x.max(axis=1, keepdims=True), _away),
        ),
        Mistake(
            "Your function cuts the fraction off instead of rounding.",
            "astype(np.int8) goes towards zero: errors of up to a whole step, all in one direction. Round first.",
            _q8_0_with(_largest, np.trunc),
        ),
        Mistake(
            "Your function rounds exact halves to the even neighbour, as np.round does.",
            "Q8_0 rounds halves away from zero, as C's roundf does: 0.5 becomes 1, -2.5 becomes -3.",
            _q8_0_with(_largest, np.round),
        ),
        Mistake(
            "Your function rounds exact halves upwards: floor(x + 0.5).",
            "For negative numbers that goes towards zero. Add a half with the sign of the number, and truncate.",
            _q8_0_with(_largest, lambda s: np.floor(s + np.float32(0.5))),
        ),
        Mistake(
            "Your function has one scale for all blocks.",
            "Each row of x is a block with a largest number of its own: axis=1.",
            _q8_0_with(lambda x: np.full((len(x), 1), np.abs(x).max()), _away),
        ),
        Mistake(
            "Your function divides by the scale after it was rounded to float16.",
            "The file stores the rounded scale, but the integers come from the unrounded one: that is how the format "
            "is defined, and other programs would get other bytes.",
            _q8_0_rounded_scale,
        ),
        Mistake(
            "Your function returns scales that are not rounded to float16.",
            "A Q8_0 block has two bytes for its scale: d.astype(np.float16).",
            _q8_0_with(_largest, _away, stored=np.float32),
        ),
    ),
)

# --- q4_0_dequantize_blocks ---------------------------------------------------------------


def _make_q4_0_bytes(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    d = rng.normal(size=n) * np.exp(rng.normal(size=n))
    return (np.concatenate((_half_bytes(d), rng.integers(0, 256, (n, 16), np.uint8)), axis=1),)


def _q4_0_numbers(blocks):
    """The 32 nibbles of blocks (..., 18), low halves first, as int."""
    packed = blocks[..., 2:]
    return np.concatenate((packed & 15, packed >> 4), axis=-1).astype(np.int32)


def _neighbours(blocks):
    """The nibbles as if byte i held the elements 2i and 2i + 1."""
    packed = blocks[..., 2:]
    return np.stack((packed & 15, packed >> 4), axis=-1).reshape(*packed.shape[:-1], BLOCK).astype(np.int32)


def _high_first(blocks):
    packed = blocks[..., 2:]
    return np.concatenate((packed >> 4, packed & 15), axis=-1).astype(np.int32)


def _twos_complement(q):
    return np.where(q > 7, q - 16, q)


def _dequantized(numbers, offset=8.0, scale=_halves):
    return lambda blocks: (scale(blocks) * (numbers(blocks) - offset)).astype(np.float32)


def _big_endian(blocks):
    return np.ascontiguousarray(blocks[..., 1::-1]).view(np.float16).astype(np.float32)


def _gguf_dequantize_q4_0(blocks):
    import gguf

    return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q4_0)


Q4_0_BACK = Exercise(
    id="q4_0_dequantize_blocks",
    chapter="12",
    title="Unpack 4 bits",
    task="Turn blocks of 18 bytes in the format Q4_0 into 32 numbers each.",
    difficulty=2,
    minutes=15,
    reference=FORMATS["Q4_0"].dequantize,
    make=_make_q4_0_bytes,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 8}, {"n": 33}),
    axes=("block", "element"),
    oracle=_gguf_dequantize_q4_0,
    hints=(
        "Two bytes of scale, then 16 bytes with two numbers each. Numbers 0 ... 15 stand for -8 ... 7.",
        "byte & 15 is the lower half, byte >> 4 the upper one. The lower halves are the elements 0 ... 15, the upper "
        "ones the elements 16 ... 31. .view(np.float16) reads two bytes as one number.",
        "d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)   # (n, 1)\n"
        "q = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)\n"
        "return d * (q.astype(np.float32) - 8)",
    ),
    mistakes=(
        Mistake(
            "Your function takes the halves of a byte for neighbours, elements 2i and 2i + 1.",
            "In Q4_0 byte i holds element i in its lower half and element i + 16 in its upper half: concatenate all "
            "lower halves and all upper ones, do not interleave them.",
            _dequantized(_neighbours),
        ),
        Mistake(
            "Your function puts the upper halves first.",
            "The lower halves (byte & 15) are the elements 0 ... 15.",
            _dequantized(_high_first),
        ),
        Mistake(
            "Your function does not subtract 8.",
            "The stored numbers have no sign: 0 stands for -8, 8 for 0, 15 for 7.",
            _dequantized(_q4_0_numbers, 0.0),
        ),
        Mistake(
            "Your function reads the four bits as a two's complement number.",
            "The sign is kept as an offset: w = d * (q - 8). In two's complement 8 would be -8; here it is 0.",
            lambda blocks: (_halves(blocks) * _twos_complement(_q4_0_numbers(blocks))).astype(np.float32),
        ),
        Mistake(
            "Your function subtracts 7.5, the middle of 0 ... 15.",
            "Zero has to be representable: q = 8 is exactly 0, so the levels reach from -8 to 7.",
            _dequantized(_q4_0_numbers, 7.5),
        ),
        Mistake(
            "Your function reads the scale with its two bytes exchanged.",
            "GGUF is little-endian: the lower byte comes first, as NumPy's view reads it on common machines.",
            _dequantized(_q4_0_numbers, scale=_big_endian),
        ),
        Mistake(
            "Your function subtracts 8 while the numbers are still bytes.",
            "A uint8 below 8 wraps round to 248 ... 255. Convert to a signed type first.",
            lambda blocks: (_halves(blocks) * ((_q4_0_numbers(blocks) - 8) % 256)).astype(np.float32),
        ),
    ),
)

# --- q4_0_quantize_blocks -----------------------------------------------------------------


def _make_q4_0(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A block of exact halves with a number that rounds past the last level; and random ones."""
    x = rng.normal(size=(n, BLOCK)) * np.exp(rng.normal(size=(n, 1)))
    x[0] = 0.5 * rng.permutation(np.r_[np.arange(-7.5, 7), np.arange(-6.5, 7), -8.0, 7.8, 7.75])
    x[1::2] *= np.sign(np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1))[1::2]  # largest one positive
    return (x.astype(np.float32),)


def _q4_0(x):
    return quantize(x, "Q4_0").data


def _signed_largest(x):
    return np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)


def _q4_0_from(d, q, pack=lambda q: q[:, :16] | q[:, 16:] << 4):
    q = q.astype(np.int64).astype(np.uint8)
    return np.concatenate((_half_bytes(d), pack(q)), axis=1)


def _q4_0_levels(x, d):
    return np.trunc(x * _reciprocal(d) + np.float32(8.5))


def _q4_0_scale(x):
    return (_signed_largest(x) / np.float32(-8)).astype(np.float32)


def _q4_0_of_scale(scale, low=0, high=15):
    def function(x):
        d = scale(x).astype(np.float32)
        return _q4_0_from(d, np.clip(_q4_0_levels(x, d), low, high))

    return function


def _q4_0_packed(pack):
    def function(x):
        d = _q4_0_scale(x)
        return _q4_0_from(d, np.clip(_q4_0_levels(x, d), 0, 15), pack)

    return function


def _q4_0_even(x):
    d = _q4_0_scale(x)
    return _q4_0_from(d, np.clip(np.rint(x * _reciprocal(d)) + 8, 0, 15))


def _q4_0_cut(x):
    d = _q4_0_scale(x)
    return _q4_0_from(d, np.clip(np.trunc(x * _reciprocal(d) + np.float32(8)), 0, 15))


def _gguf_q4_0(x):
    import gguf

    return gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q4_0)


Q4_0 = Exercise(
    id="q4_0_quantize_blocks",
    chapter="12",
    title="Quantise to 4 bits",
    task="Quantise blocks of 32 numbers as Q4_0, to the very bytes that a GGUF file holds.",
    difficulty=3,
    minutes=25,
    reference=_q4_0,
    make=_make_q4_0,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 7}, {"n": 20}),
    axes=("block", "byte"),
    oracle=_gguf_q4_0,
    exact=True,
    hints=(
        "There are 16 levels, -8 ... 7: one more on the negative side. The number of largest size gets that extra "
        "level, whatever its own sign is; the sign goes into d.",
        "d = (the number of largest size, with its sign) / -8. Then q = trunc(x / d + 8.5), and a number on the "
        "other side may come out as 16: clip to 15.",
        "largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)   # (n, 1)\n"
        "d = largest / np.float32(-8)\n"
        "q = np.minimum(np.trunc(x / d + np.float32(8.5)), 15).astype(np.uint8)\n"
        "bytes: d.astype(np.float16).view(np.uint8), then q[:, :16] | q[:, 16:] << 4",
    ),
    mistakes=(
        Mistake(
            "Your scale is max|x| / 8, always positive.",
            "The extra level -8 then serves only blocks whose largest number is negative. Q4_0 divides the largest "
            "number, with its sign, by -8: d may be negative.",
            _q4_0_of_scale(lambda x: _largest(x) / np.float32(8)),
        ),
        Mistake(
            "Your scale is max|x| / 7: you use only 15 of the 16 levels.",
            "Symmetrical levels waste q = 0. Q4_0 puts the number of largest size at level -8.",
            _q4_0_of_scale(lambda x: _largest(x) / np.float32(7)),
        ),
        Mistake(
            "Your scale has the wrong sign: the largest number is divided by 8, not by -8.",
            "The number of largest size must land on q = 0, which stands for -8; with +8 it would need q = 16.",
            _q4_0_of_scale(lambda x: _signed_largest(x) / np.float32(8)),
        ),
        Mistake(
            "Your function lets a number become 16, which spills out of its four bits.",
            "A number almost as large as the largest one, with the other sign, rounds to 16. Clip to 15 before "
            "packing.",
            _q4_0_of_scale(_q4_0_scale, 0, 255),
        ),
        Mistake(
            "Your function packs neighbours, elements 2i and 2i + 1, into a byte.",
            "Byte i holds element i (lower half) and element i + 16 (upper half).",
            _q4_0_packed(lambda q: q[:, 0::2] | q[:, 1::2] << 4),
        ),
        Mistake(
            "Your function puts elements 0 ... 15 into the upper halves of the bytes.",
            "The first 16 elements are the lower halves: q[:, :16] | q[:, 16:] << 4.",
            _q4_0_packed(lambda q: q[:, 16:] | q[:, :16] << 4),
        ),
        Mistake(
            "Your function rounds exact halves to the even neighbour, as np.round does.",
            "The format says trunc(x / d + 8.5): halves go up.",
            _q4_0_even,
        ),
        Mistake(
            "Your function does not round: it adds 8, not 8.5.",
            "Truncating x / d + 8 loses half a step on average. The .5 makes it a rounding.",
            _q4_0_cut,
        ),
    ),
)

# --- block_error_bounds -------------------------------------------------------------------


def _make_blocks(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    x = (rng.normal(size=(n, BLOCK)) + rng.normal(size=(n, 1))) * np.exp(rng.normal(size=(n, 1)))
    x[::2] *= -np.sign(_signed_largest(x))[::2]  # the largest one negative in every second block
    return (x.astype(np.float32),)


def _bounds(x):
    size = np.abs(x).max(axis=1)
    return size / 254, size / 8, np.ptp(x, axis=1) / 30


def _bounds_with(part, value):
    """The right bounds, one of them exchanged."""
    return lambda x: tuple(value(x) if i == part else bound for i, bound in enumerate(_bounds(x)))


BOUNDS = Exercise(
    id="block_error_bounds",
    chapter="12",
    title="How wrong can a number be?",
    task="The largest possible error of any number of a block in Q8_0, Q4_0 and Q4_1, from the block's numbers.",
    difficulty=2,
    minutes=15,
    reference=_bounds,
    make=_make_blocks,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 9}, {"n": 40}),
    axes=("block",),
    outputs=("q8_0", "q4_0", "q4_1"),
    hints=(
        "Rounding to the nearest level is off by half the distance d of two levels at most, as long as the number "
        "lies between the lowest and the highest level. In one of the three formats it need not.",
        "Q8_0: d = max|x| / 127. Q4_1: d = (max - min) / 15. In Q4_0, d = max|x| / 8 and the levels are -8 d ... 7 d: "
        "a number of size 8 d on the side of the 7 is off by a whole d.",
        "size = np.abs(x).max(axis=1)\nreturn size / 127 / 2, size / 8, (x.max(axis=1) - x.min(axis=1)) / 15 / 2",
    ),
    mistakes=(
        Mistake(
            "Your bound for Q4_0 is half a step.",
            "That holds between the levels. Q4_0 has no level +8: a number as large as the largest, with the other "
            "sign, is clipped to 7 and off by a whole step d.",
            _bounds_with(1, lambda x: np.abs(x).max(axis=1) / 16),
        ),
        Mistake(
            "Your bound for Q8_0 is a whole step.",
            "The nearest level is at most half a step away, and no number of a Q8_0 block is clipped.",
            _bounds_with(0, lambda x: np.abs(x).max(axis=1) / 127),
        ),
        Mistake(
            "Your bound for Q4_1 divides the range by 16 levels.",
            "16 levels have 15 steps between them: d = (max - min) / 15.",
            _bounds_with(2, lambda x: np.ptp(x, axis=1) / 32),
        ),
        Mistake(
            "Your bound for Q4_1 comes from the largest size, not from the range.",
            "Q4_1 keeps a minimum: its levels reach from the least to the largest number, wherever zero is.",
            _bounds_with(2, lambda x: np.abs(x).max(axis=1) / 15),
        ),
        Mistake(
            "Your bound for Q4_1 is a whole step.",
            "Both ends of the range are levels, so nothing is clipped: half a step.",
            _bounds_with(2, lambda x: np.ptp(x, axis=1) / 15),
        ),
        Mistake(
            "Your function takes the largest number where it needs the largest size.",
            "A block's scale follows its absolute values: np.abs(x).max(axis=1).",
            lambda x: (x.max(axis=1) / 254, x.max(axis=1) / 8, np.ptp(x, axis=1) / 30),
        ),
        Mistake(
            "Your function has one bound for all blocks.",
            "Every row of x is a block with a scale of its own; that is what blocks are for.",
            lambda x: tuple(np.full(len(x), bound.max()) for bound in _bounds(x)),
        ),
    ),
)

# --- choose_group_size --------------------------------------------------------------------


def _make_group_sizes(rng: np.random.Generator, R: int, C: int, bits: int) -> tuple[Any, ...]:
    sizes = [size for size in (4, 8, 16, 32, 64, 128) if C % size == 0]
    if len(sizes) < 3 or not 3 <= bits <= 8:
        raise ValueError("C must be a multiple of three group sizes at least, bits from 3 to 8")
    w = rng.standard_t(4, (R, C)).astype(np.float32) * np.float32(0.05)
    sizes = [int(size) for size in rng.permutation(sizes)]
    errors = np.unique(_group_sizes(w, sizes, bits, np.inf)[1])
    middle = len(errors) // 2
    return w, sizes, bits, float(errors[middle - 1 : middle + 1].mean())


def _group_sizes(w, sizes, bits, tolerance, *, turn=False, cut=False, levels=None, scale_bits=16.0, relative=True):
    """The answer; the options are mistakes."""
    errors = []
    for size in sizes:
        groups = (w.T if turn else w).astype(np.float64).reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / ((2 ** (bits - 1) - 1) if levels is None else levels(bits))
        q = (np.trunc if cut else np.rint)(groups / np.where(d == 0, 1, d))
        rms = np.sqrt(np.mean((d * q - groups) ** 2))
        errors.append(rms / np.sqrt(np.mean(groups**2)) if relative else rms)
    good = [size for size, error in zip(sizes, errors) if error <= tolerance]
    return np.array([bits + scale_bits / size for size in sizes]), np.array(errors), max(good, default=0)


def _first_good(w, sizes, bits, tolerance):
    rates, errors, _ = _group_sizes(w, sizes, bits, tolerance)
    return rates, errors, min(size for size, error in zip(sizes, errors) if error <= tolerance)


def _worst_error(w, sizes, bits, tolerance):
    errors = []
    for size in sizes:
        groups = w.astype(np.float64).reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        errors.append(np.abs(d * np.rint(groups / d) - groups).max() / np.sqrt(np.mean(groups**2)))
    good = [size for size, error in zip(sizes, errors) if error <= tolerance]
    return np.array([bits + 16 / size for size in sizes]), np.array(errors), max(good, default=0)


GROUPS = Exercise(
    id="choose_group_size",
    chapter="12",
    title="Choose a group size",
    task="Bits per weight and error of several group sizes, and the largest size whose error is still tolerable.",
    difficulty=2,
    minutes=20,
    reference=_group_sizes,
    make=_make_group_sizes,
    shapes=(
        {"R": 2, "C": 16, "bits": 4},
        {"R": 1, "C": 32, "bits": 4},
        {"R": 3, "C": 64, "bits": 5},
        {"R": 6, "C": 96, "bits": 3},
        {"R": 9, "C": 128, "bits": 8},
    ),
    axes=("size",),
    outputs=("bits_per_weight", "error", "chosen"),
    hints=(
        "Every group pays for a float16 scale, shared by its members. A larger group pays less and contains a larger "
        "number, which makes everybody's steps coarser.",
        "For one size: groups = w.reshape(-1, size), d = max|group| / (2 ** (bits - 1) - 1), q = rint(group / d). The "
        "error is sqrt(mean((d q - w)²)) / sqrt(mean(w²)); bits per weight are bits + 16 / size.",
        "errors = []\n"
        "for size in sizes:\n"
        "    groups = w.reshape(-1, size)\n"
        "    d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)\n"
        "    difference = d * np.rint(groups / d) - groups\n"
        "    errors.append(np.sqrt(np.mean(difference ** 2) / np.mean(w ** 2)))\n"
        "chosen = max of the sizes whose error is <= tolerance",
    ),
    mistakes=(
        Mistake(
            "Your function counts no bits for the scales.",
            "A scale of 16 bits is shared by `size` numbers: 16 / size bits each. That is all that speaks for large "
            "groups.",
            lambda w, sizes, bits, t: _group_sizes(w, sizes, bits, t, scale_bits=0.0),
        ),
        Mistake(
            "Your function counts 32 bits for each scale.",
            "The scales are kept in float16, so a group pays 16 bits.",
            lambda w, sizes, bits, t: _group_sizes(w, sizes, bits, t, scale_bits=32.0),
        ),
        Mistake(
            "Your function chooses the smallest group whose error is tolerable.",
            "The smallest group is always the most exact, and the most expensive. Of those that are good enough, the "
            "largest takes the fewest bits.",
            _first_good,
        ),
        Mistake(
            "Your groups run down the columns of the matrix.",
            "A product reads a row from left to right, and one scale must serve neighbours in a row: "
            "w.reshape(-1, size).",
            lambda w, sizes, bits, t: _group_sizes(w, sizes, bits, t, turn=True),
        ),
        Mistake(
            "Your function divides by 2 ** bits - 1: it takes all levels for one side of zero.",
            "The integers have a sign: they reach from -(2 ** (bits - 1) - 1) to 2 ** (bits - 1) - 1.",
            lambda w, sizes, bits, t: _group_sizes(w, sizes, bits, t, levels=lambda bits: 2**bits - 1),
        ),
        Mistake(
            "Your function cuts fractions off instead of rounding.",
            "astype(int) goes towards zero, which doubles the largest error: np.rint first.",
            lambda w, sizes, bits, t: _group_sizes(w, sizes, bits, t, cut=True),
        ),
        Mistake(
            "Your errors are absolute: they are not divided by the size of the weights.",
            "The tolerance is a share of the root mean square of w.",
            lambda w, sizes, bits, t: _group_sizes(w, sizes, bits, t, relative=False),
        ),
        Mistake(
            "Your errors are those of the worst number, not the root of the mean square.",
            "In a product the errors of many numbers add up and partly cancel: their mean square counts.",
            _worst_error,
        ),
    ),
)

# --- int8_block_matvec --------------------------------------------------------------------


def _make_int8(rng: np.random.Generator, R: int, B: int) -> tuple[Any, ...]:
    q = rng.integers(-127, 128, (R, BLOCK * B)).astype(np.int8)
    x = rng.integers(-60, 128, BLOCK * B).astype(np.int8)
    return q, rng.uniform(0.2, 2, (R, B)).astype(np.float32), x, rng.uniform(0.2, 2, B).astype(np.float32)


def _block_sums(q, x, product=np.int32, total=np.int32):
    """Sums of the products over every block, (R, B), in the given types."""
    return (q.astype(product) * x.astype(product)).reshape(len(q), -1, BLOCK).sum(axis=2, dtype=total)


def _int8(q, d, x, dx):
    return (_block_sums(q, x) * d.astype(np.float64) @ dx).astype(np.float32)


def _int8_naive(q, d, x, dx):
    y = np.zeros(len(q), np.float32)
    for r in range(len(q)):
        for b in range(len(dx)):
            total = 0
            for i in range(BLOCK * b, BLOCK * b + BLOCK):
                total += int(q[r, i]) * int(x[i])
            y[r] += d[r, b] * dx[b] * total
    return y


@kernel
def _int8_compiled(q, d, x, dx, y):
    for r in range(len(q)):
        result = np.float32(0)
        for b in range(dx.size):
            total = np.int32(0)
            for i in range(BLOCK * b, BLOCK * b + BLOCK):
                total += np.int32(np.int32(q[r, i]) * np.int32(x[i]))
            result += d[r, b] * dx[b] * np.float32(total)
        y[r] = result


def _int8_fast(q, d, x, dx):
    y = np.empty(len(q), np.float32)
    _int8_compiled(q, d, x, dx, y)
    return y


def _int8_torch(q, d, x, dx):
    """PyTorch has no such product: float32 weights, unpacked."""
    weight = q.float() * d.repeat_interleave(BLOCK, dim=1)
    return weight @ (x.float() * dx.repeat_interleave(BLOCK))


def _int8_oracle(q, d, x, dx):
    import torch

    arguments = (torch.tensor(q), torch.tensor(d, dtype=torch.float64), torch.tensor(x))
    weight = arguments[0].double() * arguments[1].repeat_interleave(BLOCK, dim=1)
    return (weight @ (arguments[2].double() * torch.tensor(dx).double().repeat_interleave(BLOCK))).numpy()


INT8 = Exercise(
    id="int8_block_matvec",
    chapter="12",
    title="Multiply in integers",
    task="Multiply a matrix of int8 blocks with a vector of int8 blocks: exact integer sums, one scale for each block.",
    difficulty=2,
    minutes=20,
    reference=_int8,
    make=_make_int8,
    shapes=({"R": 2, "B": 2}, {"R": 1, "B": 1}, {"R": 3, "B": 1}, {"R": 5, "B": 3}, {"R": 16, "B": 18}),
    axes=("row",),
    oracle=_int8_oracle,
    hints=(
        "Inside a block all products have the same factor d * dx: it can wait until the block's integers are added "
        "up. Of which type must the sum be?",
        "A product of two int8 needs 16 bits, the sum of 32 of them 20: compute in int32. Then multiply every "
        "block's sum with its own d[r, b] * dx[b] and add over the blocks.",
        "products = q.astype(np.int32) * x.astype(np.int32)          # (R, C)\n"
        "sums = products.reshape(len(q), -1, 32).sum(axis=2)           # (R, C / 32)\n"
        "return (sums * d * dx).sum(axis=1)",
    ),
    mistakes=(
        Mistake(
            "Your products are computed in int8 and wrap round.",
            "NumPy's int8 * int8 is int8: 100 * 100 becomes 16. Convert to int32 before the multiplication.",
            lambda q, d, x, dx: _block_sums(q, x, np.int8) * d @ dx,
        ),
        Mistake(
            "Your sums are kept in int16 and wrap round.",
            "32 products of up to 127 * 127 reach half a million: the sum needs int32.",
            lambda q, d, x, dx: _block_sums(q, x, np.int16, np.int16) * d @ dx,
        ),
        Mistake(
            "Your function forgets the scales of the vector.",
            "x is quantised too: every block's sum is multiplied with d[r, b] and with dx[b].",
            lambda q, d, x, dx: (_block_sums(q, x) * d).sum(axis=1),
        ),
        Mistake(
            "Your function lays the scales out as d0 d1 ... d0 d1 ...: np.tile where np.repeat is wanted.",
            "The scale of element i is d[r, i // 32]: every scale serves 32 neighbours.",
            lambda q, d, x, dx: (q * np.tile(d, BLOCK)) @ (x * np.tile(dx, BLOCK)),
        ),
        Mistake(
            "Your function multiplies the whole row with the scale of its first block.",
            "Each block has its own scale, so the sum must be scaled block by block.",
            lambda q, d, x, dx: _block_sums(q, x).sum(axis=1) * d[:, 0] * dx[0],
        ),
        Mistake(
            "Your function adds up integers and scales separately: the sum of the sums times the sum of the scales.",
            "A sum of products is not the product of the sums: scale every block, then add.",
            lambda q, d, x, dx: _block_sums(q, x).sum(axis=1) * (d * dx).sum(axis=1),
        ),
    ),
    speed=Speed(
        dims={"R": 4096, "B": 18},
        flops=lambda R, B: 2.0 * R * B * BLOCK,
        bytes=lambda R, B: float(R * B * (BLOCK + 4)),
        fast=_int8_fast,
        naive=_int8_naive,
        torch=_int8_torch,
    ),
)

# --- zero_point_correction ----------------------------------------------------------------


def _make_zero_point(rng: np.random.Generator, R: int, B: int, zero: int) -> tuple[Any, ...]:
    q = rng.integers(0, 2 * zero, (R, BLOCK * B), np.uint8)
    x = rng.integers(-40, 128, BLOCK * B).astype(np.int8)
    return _block_sums(q, x), x, zero


def _zero_point(sums, x, zero):
    return sums - zero * x.astype(np.int32).reshape(-1, BLOCK).sum(axis=1)


ZERO_POINT = Exercise(
    id="zero_point_correction",
    chapter="12",
    title="The zero point",
    task="Correct block sums of unsigned weights times activations, so that they are those of weights minus `zero`.",
    difficulty=1,
    minutes=10,
    reference=_zero_point,
    make=_make_zero_point,
    shapes=(
        {"R": 2, "B": 2, "zero": 8},
        {"R": 1, "B": 1, "zero": 8},
        {"R": 3, "B": 1, "zero": 16},
        {"R": 4, "B": 3, "zero": 128},
        {"R": 16, "B": 7, "zero": 8},
    ),
    axes=("row", "block"),
    hints=(
        "Write sum((q - zero) * x) as two sums. One of them is given, the other does not depend on the row.",
        "The second sum is zero * sum(x over the block): x.reshape(-1, 32).sum(axis=1), added up in int32.",
        "totals = x.astype(np.int32).reshape(-1, 32).sum(axis=1)   # (B,)\nreturn sums - zero * totals",
    ),
    mistakes=(
        Mistake(
            "Your function changes nothing.",
            "The weights were stored with `zero` added, to make them unsigned: that has to be taken off again.",
            lambda sums, x, zero: sums.copy(),
        ),
        Mistake(
            "Your function subtracts zero once from every sum.",
            "Every one of the 32 weights is too large by zero, and each is multiplied with its own x: the sum of x.",
            lambda sums, x, zero: sums - zero,
        ),
        Mistake(
            "Your function subtracts 32 * zero from every sum.",
            "That would be right if every x were 1. Each weight's excess is multiplied with its activation.",
            lambda sums, x, zero: sums - BLOCK * zero,
        ),
        Mistake(
            "Your function subtracts zero times the sum of all activations from every block.",
            "Each block knows only its own 32 activations: reshape x to (B, 32) and sum along the last axis.",
            lambda sums, x, zero: sums - zero * x.astype(np.int32).sum(),
        ),
        Mistake(
            "Your function adds the correction.",
            "sum((q - zero) x) = sum(q x) - zero sum(x): a minus.",
            lambda sums, x, zero: sums + zero * x.astype(np.int32).reshape(-1, BLOCK).sum(axis=1),
        ),
        Mistake(
            "Your function adds the activations up in int8, where they wrap round.",
            "32 numbers of up to 127 reach 4064: int32 (NumPy's sum takes a wide integer by itself, unless dtype "
            "is given).",
            lambda sums, x, zero: sums - zero * x.reshape(-1, BLOCK).sum(axis=1, dtype=np.int8).astype(np.int32),
        ),
    ),
)

# --- dot4_lanes ---------------------------------------------------------------------------


def _make_dot4(rng: np.random.Generator, lanes: int) -> tuple[Any, ...]:
    weights = rng.integers(0, 256, 4 * lanes).astype(np.uint8)
    weights[:4] = 255, 250, 3, 200
    x = np.array([127, 120, -128, rng.integers(-100, -20)], np.int8)
    return rng.integers(-(10**6), 10**6, lanes).astype(np.int32), weights, x


def _dot4(sums, weights, x):
    """What `dot4.twin` of simd_bytes.py computes, for any number of lanes."""
    return sums + (weights.reshape(-1, 4).astype(np.int32) * x.astype(np.int32)).sum(axis=1, dtype=np.int32)


def _dot4_saturated(sums, weights, x):
    products = weights.reshape(-1, 2, 2).astype(np.int32) * x.astype(np.int32).reshape(2, 2)
    return sums + np.clip(products.sum(axis=2), -32768, 32767).sum(axis=1, dtype=np.int32)


def _dot4_twos(sums, weights, x):
    return sums + (weights.reshape(4, -1).astype(np.int32) * x.astype(np.int32)[:, None]).sum(axis=0, dtype=np.int32)


DOT4 = Exercise(
    id="dot4_lanes",
    chapter="12",
    title="One vpdpbusd",
    task="Compute what the CPU's instruction does: in every lane, four products of bytes added to a 32-bit sum.",
    difficulty=1,
    minutes=10,
    reference=_dot4,
    make=_make_dot4,
    shapes=({"lanes": 2}, {"lanes": 1}, {"lanes": 4}, {"lanes": 8}, {"lanes": 16}),
    axes=("lane",),
    exact=True,
    hints=(
        "Lane n owns four neighbouring bytes of the weights. All lanes meet the same four activations.",
        "weights.reshape(-1, 4) has a row for each lane. The weights have no sign, the activations have one: convert "
        "both to int32 as they are, then multiply.",
        "products = weights.reshape(-1, 4).astype(np.int32) * x.astype(np.int32)\nreturn sums + products.sum(axis=1)",
    ),
    mistakes=(
        Mistake(
            "Your function takes the weights for signed bytes.",
            "The `u` of vpdpbusd: one operand is unsigned, 0 ... 255. That is why weights are stored with their zero "
            "point added.",
            lambda sums, weights, x: _dot4(sums, weights.view(np.int8), x),
        ),
        Mistake(
            "Your function takes the activations for unsigned bytes.",
            "The `s` of vpdpbusd: the other operand is signed, -128 ... 127.",
            lambda sums, weights, x: _dot4(sums, weights, x.view(np.uint8)),
        ),
        Mistake(
            "Your function gives lane n the bytes n, n + lanes, n + 2 lanes ...",
            "A lane is 32 bits wide: it owns four neighbouring bytes, 4n ... 4n + 3.",
            _dot4_twos,
        ),
        Mistake(
            "Your function forgets the sums that were there.",
            "The instruction accumulates: the result is the old sum plus the four products.",
            lambda sums, weights, x: _dot4(np.zeros_like(sums), weights, x),
        ),
        Mistake(
            "Your function keeps sums of two products within 16 bits, as the older vpmaddubsw does.",
            "255 * 127 + 250 * 120 does not fit in int16. vpdpbusd adds all four products in 32 bits; nothing "
            "saturates.",
            _dot4_saturated,
        ),
        Mistake(
            "Your function multiplies in 8 bits, where products wrap round.",
            "Convert to int32 before the multiplication.",
            lambda sums, weights, x: (
                sums + (weights.view(np.int8).reshape(-1, 4) * x).astype(np.int32).sum(axis=1, dtype=np.int32)
            ),
        ),
    ),
)

# --- interleave_rows ----------------------------------------------------------------------


def _make_rows(rng: np.random.Generator, R: int, C: int) -> tuple[Any, ...]:
    if C % 4:
        raise ValueError("C must be a multiple of 4")
    return (rng.integers(1, 256, (R, C)).astype(np.uint8),)


def _padded(q):
    return np.pad(q, ((0, -len(q) % 16), (0, 0)))


def _interleaved(q):
    p = _padded(q)
    return p.reshape(-1, 16, q.shape[1] // 4, 4).swapaxes(1, 2).reshape(-1, q.shape[1] // 4, 64)


def _by_column(q):
    return _padded(q).reshape(-1, 16, q.shape[1] // 4, 4).transpose(0, 2, 3, 1).reshape(-1, q.shape[1] // 4, 64)


def _strided_rows(q):
    p = _padded(q)
    return p.reshape(16, -1, q.shape[1] // 4, 4).transpose(1, 2, 0, 3).reshape(-1, q.shape[1] // 4, 64)


def _as_it_is(q):
    return _padded(q).reshape(-1, q.shape[1] // 4, 64)


def _strided_columns(q):
    p = _padded(q).reshape(-1, 16, 4, q.shape[1] // 4)
    return p.transpose(0, 3, 1, 2).reshape(-1, q.shape[1] // 4, 64)


def _last_row_again(q):
    p = np.pad(q, ((0, -len(q) % 16), (0, 0)), mode="edge")
    return _interleaved(p)


INTERLEAVE = Exercise(
    id="interleave_rows",
    chapter="12",
    title="Sixteen rows, one lane each",
    task="Reorder a matrix of bytes so that 4 columns of 16 rows lie together: what one instruction multiplies.",
    difficulty=3,
    minutes=20,
    reference=_interleaved,
    make=_make_rows,
    shapes=({"R": 16, "C": 8}, {"R": 1, "C": 4}, {"R": 16, "C": 4}, {"R": 33, "C": 12}, {"R": 50, "C": 32}),
    axes=("group", "step", "byte"),
    exact=True,
    hints=(
        "Give each index an axis of its own: row = 16 * group + lane, column = 4 * step + k. In which order do these "
        "four axes lie now, and in which order should they?",
        "Rows that are missing in the last group become zeros (np.pad). The axes of the matrix are (group, lane, "
        "step, k); wanted is (group, step, lane, k).",
        "p = np.pad(q, ((0, -len(q) % 16), (0, 0)))\n"
        "p = p.reshape(-1, 16, q.shape[1] // 4, 4)      # (group, lane, step, k)\n"
        "return p.swapaxes(1, 2).reshape(-1, q.shape[1] // 4, 64)",
    ),
    mistakes=(
        Mistake(
            "Your function puts the 16 rows of one column together, then those of the next.",
            "That suits floats. A lane of vpdpbusd multiplies four neighbouring bytes, which must be four columns of "
            "its own row: k is the last axis.",
            _by_column,
        ),
        Mistake(
            "Your groups take every n-th row instead of 16 neighbours.",
            "Lane n of group g is row 16 g + n: the first reshape is (-1, 16, ...), not (16, -1, ...).",
            _strided_rows,
        ),
        Mistake(
            "Your function reshapes only: 64 columns of one row lie together.",
            "Between the two reshapes the axes of lane and step have to be exchanged.",
            _as_it_is,
        ),
        Mistake(
            "Your steps take columns that are far from one another.",
            "Step s takes the neighbours 4 s ... 4 s + 3: reshape the columns to (C / 4, 4), not (4, C / 4).",
            _strided_columns,
        ),
        Mistake(
            "Your function fills the last group up with copies of the last row.",
            "Rows that do not exist are zeros.",
            _last_row_again,
        ),
    ),
)

# --- split_in_planes ----------------------------------------------------------------------


def _make_planes(rng: np.random.Generator, B: int) -> tuple[Any, ...]:
    """Numbers near whole multiples of a step, so that every right way of rounding agrees; a block of zeros."""
    q = rng.integers(-16000, 16000, (B, BLOCK)) + rng.uniform(-0.3, 0.3, (B, BLOCK))
    q[np.arange(B), rng.integers(0, BLOCK, B)] = 127 * 128 * np.where(np.arange(B) % 2, 1, -1)
    x = q * (2.0 ** rng.integers(-14, -9, (B, 1)))
    if B > 2:
        x[1] = 0
    return (x.reshape(-1).astype(np.float32),)


def _planes(x):
    return tuple(part[0] for part in quantize_rows(x[None]))


def _planes_with(x, levels=127 * 128, base=128, one_scale=False, sum_of="q", guarded=True):
    blocks = x.reshape(-1, BLOCK)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    largest = np.full_like(largest, largest.max()) if one_scale else largest
    d = (largest / np.float32(levels)).astype(np.float32)
    q = np.rint(blocks * _reciprocal(d) if guarded else blocks / d)
    high = np.rint(q / base)
    total = (blocks if sum_of == "x" else q).sum(axis=1)
    parts = (high.astype(np.int8).reshape(-1), (q - base * high).astype(np.int8).reshape(-1))
    return (*parts, d[:, 0], np.full_like(total, q.sum()) if sum_of == "all" else total.astype(np.float32))


def _high_only(x):
    high, _, d, _ = _planes(x)
    return high, np.zeros_like(high), d, 128 * high.astype(np.float32).reshape(-1, BLOCK).sum(axis=1)


def _observe_planes(function, args):
    """The planes may be split in more than one way: what counts is 128 * high + low, both in int8."""
    high, low, d, total = function(*args)
    for name, plane in (("high", high), ("low", low)):
        if np.asarray(plane).dtype != np.int8:
            raise TypeError(f"{name} should be an array of int8, is one of {np.asarray(plane).dtype}")
    return 128 * high.astype(np.int32) + low, d, total


PLANES = Exercise(
    id="split_in_planes",
    chapter="12",
    title="15 bits in two bytes",
    task="Round activations to 15 bits and a sign, one scale for 32, and split every integer into two signed bytes.",
    difficulty=2,
    minutes=20,
    reference=_planes,
    make=_make_planes,
    shapes=({"B": 1}, {"B": 2}, {"B": 3}, {"B": 5}, {"B": 18}),
    axes=("element",),
    outputs=("128 * high + low", "d", "total"),
    observe=_observe_planes,
    hints=(
        "The largest integer has to be 127 * 128, so that its upper part still fits in a signed byte.",
        "q = rint(x / d) with d = max|x| / (127 * 128); high = rint(q / 128), low = q - 128 * high, which lies in "
        "-64 ... 64. A block of zeros has d = 0: do not divide by it.",
        "blocks = x.reshape(-1, 32)\n"
        "d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 * 128)\n"
        "q = np.rint(blocks / np.where(d == 0, np.float32(1), d))\n"
        "high = np.rint(q / 128)\n"
        "low = q - 128 * high             # both .reshape(-1).astype(np.int8)\n"
        "return high, low, d[:, 0], q.sum(axis=1)",
    ),
    mistakes=(
        Mistake(
            "Your function splits at 256 instead of 128.",
            "Both planes are signed bytes: a step of 128 leaves -64 ... 64 for the lower one and room for the upper "
            "one.",
            lambda x: _planes_with(x, base=256),
        ),
        Mistake(
            "Your function rounds to 7 bits: the scale is max|x| / 127.",
            "That is Q8_0. Here the largest integer is 127 * 128 = 16256.",
            lambda x: _planes_with(x, levels=127),
        ),
        Mistake(
            "Your scale is max|x| / 32767, as for int16.",
            "The upper part of 32767 is 256: it does not fit in a signed byte.",
            lambda x: _planes_with(x, levels=32767),
        ),
        Mistake(
            "Your lower plane is empty.",
            "What the upper plane leaves over, q - 128 * high, is seven bits of precision.",
            _high_only,
        ),
        Mistake(
            "Your function has one scale for the whole row.",
            "Every 32 activations have their own: one large number must not coarsen all others.",
            lambda x: _planes_with(x, one_scale=True),
        ),
        Mistake(
            "Your total is the sum of the numbers, not of their integers.",
            "The zero point is subtracted among integers: total is the sum of 128 * high + low over the block.",
            lambda x: _planes_with(x, sum_of="x"),
        ),
        Mistake(
            "Your total is the sum over the whole row.",
            "There is one total for each block of 32.",
            lambda x: _planes_with(x, sum_of="all"),
        ),
        Mistake(
            "Your function divides by zero in a block of zeros.",
            "Activations that are all 0 have d = 0, and 0 / 0 is NaN, which spreads to everything. Divide by 1 there.",
            lambda x: _planes_with(x, guarded=False),
        ),
    ),
    rtol=1e-5,
)

# --- q4_0_matvec --------------------------------------------------------------------------


def _make_q4_0_matrix(rng: np.random.Generator, R: int, B: int) -> tuple[Any, ...]:
    d = rng.normal(size=R * B) * 0.1
    blocks = np.concatenate((_half_bytes(d), rng.integers(0, 256, (R * B, 16), np.uint8)), axis=1)
    return blocks.reshape(R, B, 18), (rng.normal(size=BLOCK * B) + 0.5).astype(np.float32)


def _q4_0_product(numbers, offset=8, scale=_halves):
    def function(blocks, x):
        weight = scale(blocks).astype(np.float64) * (numbers(blocks) - offset)
        return (weight.reshape(len(blocks), -1) @ x).astype(np.float32)

    return function


def _q4_0_naive(blocks, x):
    y = np.zeros(len(blocks), np.float32)
    for r in range(len(blocks)):
        for b in range(blocks.shape[1]):
            d = float(blocks[r, b, :2].view(np.float16)[0])
            total = 0.0
            for i in range(16):
                byte = int(blocks[r, b, 2 + i])
                total += ((byte & 15) - 8) * float(x[32 * b + i]) + ((byte >> 4) - 8) * float(x[32 * b + 16 + i])
            y[r] += d * total
    return y


def _q4_0_fast(blocks, x):
    y = np.empty((1, len(blocks)), np.float32)
    matvec_packed(x[None], PackedArray(blocks.reshape(len(blocks), -1), FORMATS["Q4_0"], x.size), y)
    return y[0]


def _q4_0_torch(blocks, x):
    """PyTorch has no Q4_0: unpacked, then multiplied."""
    import torch

    q = torch.cat((blocks[..., 2:] & 15, blocks[..., 2:] >> 4), dim=-1).float() - 8
    d = blocks[..., :2].contiguous().view(torch.float16).float()
    return (d * q).reshape(len(blocks), -1) @ x


def _gguf_q4_0_product(blocks, x):
    """gguf's unpacking, PyTorch's product."""
    import gguf
    import torch

    weight = gguf.quants.dequantize(blocks.reshape(-1, 18), gguf.GGMLQuantizationType.Q4_0)
    return (torch.tensor(weight.reshape(len(blocks), -1)).double() @ torch.tensor(x).double()).numpy()


Q4_0_MATVEC = Exercise(
    id="q4_0_matvec",
    chapter="12",
    title="Multiply packed weights",
    task="Multiply a matrix that stays packed in Q4_0 with a vector; Numba makes it worth while.",
    difficulty=3,
    minutes=40,
    reference=_q4_0_product(_q4_0_numbers),
    make=_make_q4_0_matrix,
    shapes=({"R": 2, "B": 2}, {"R": 1, "B": 1}, {"R": 3, "B": 2}, {"R": 7, "B": 5}, {"R": 24, "B": 18}),
    axes=("row",),
    oracle=_gguf_q4_0_product,
    hints=(
        "First make it right with NumPy: unpack as in q4_0_dequantize_blocks, reshape to (R, C), multiply. Then make "
        "it fast: no array of all weights.",
        "In Numba: one loop over the rows, one over the blocks, one over the 16 bytes. A byte serves x[32 b + i] with "
        "its lower half and x[32 b + 16 + i] with its upper one. Numba has no float16: unpack the scales outside, "
        "with .view(np.float16).",
        "d = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)\n"
        "@njit(fastmath=True)\n"
        "def multiply(d, blocks, x, y):\n"
        "    for r in range(len(y)):\n"
        "        for b in range(d.shape[1]):\n"
        "            total = np.float32(0)\n"
        "            for i in range(16):\n"
        "                byte = np.int32(blocks[r, b, 2 + i])\n"
        "                total += np.float32((byte & 15) - 8) * x[32 * b + i] + ...\n"
        "            y[r] += d[r, b] * total",
    ),
    mistakes=(
        Mistake(
            "Your function takes the halves of a byte for neighbours, elements 2i and 2i + 1.",
            "Byte i of a block belongs to x[32 b + i] and x[32 b + 16 + i].",
            _q4_0_product(_neighbours),
        ),
        Mistake(
            "Your function multiplies the lower halves with the second 16 activations.",
            "The lower half of byte i is element i, the upper half element i + 16.",
            _q4_0_product(_high_first),
        ),
        Mistake(
            "Your function does not subtract 8.",
            "Numbers 0 ... 15 stand for -8 ... 7. The whole product is too large by 8 * sum(d * x).",
            _q4_0_product(_q4_0_numbers, 0),
        ),
        Mistake(
            "Your function leaves the scales out.",
            "Each block's sum is multiplied with the float16 in its first two bytes.",
            _q4_0_product(_q4_0_numbers, scale=lambda blocks: np.ones((*blocks.shape[:2], 1))),
        ),
        Mistake(
            "Your function uses the scale of a row's first block for all of them.",
            "Every block has a scale of its own.",
            _q4_0_product(_q4_0_numbers, scale=lambda blocks: _halves(blocks)[:, :1]),
        ),
    ),
    speed=Speed(
        dims={"R": 4096, "B": 18},
        flops=lambda R, B: 2.0 * R * B * BLOCK,
        bytes=lambda R, B: float(R * B * 18),
        fast=_q4_0_fast,
        naive=_q4_0_naive,
        torch=_q4_0_torch,
    ),
)

# --- decode_speed_bound -------------------------------------------------------------------


def _make_model(
    rng: np.random.Generator, layers: int, heads: int, kv_heads: int, head_dim: int, hidden: int, vocab: int
) -> tuple[Any, ...]:
    if heads % kv_heads:
        raise ValueError("kv_heads must divide heads")
    bits, head_bits = [(4.5, 8.5), (5.0, 8.5), (16.0, 32.0)][int(rng.integers(3))]
    context = int(rng.integers(50, 2000))
    return (
        layers,
        heads * head_dim,
        heads,
        kv_heads,
        hidden,
        vocab,
        bits,
        head_bits,
        context,
        float(rng.integers(10, 60) * 1e9),
    )


def _decode(layers, dim, heads, kv_heads, hidden, vocab, bits, head_bits, context, bandwidth, **mistake):
    kv_dim = dim // heads * kv_heads
    projections = 2 * dim * dim + 2 * dim * (dim if mistake.get("square") else kv_dim)
    weights = layers * (projections + mistake.get("matrices", 3) * dim * hidden)
    head = vocab * dim * mistake.get("tables", 1)
    cache = 2 * layers * (dim if mistake.get("all_heads") else kv_dim) * 4 * (0 if mistake.get("no_cache") else context)
    n_bytes = (weights * bits + head * head_bits) / mistake.get("bits_in_a_byte", 8) + cache
    return n_bytes, bandwidth / n_bytes


def _decode_right(n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits, head_bits, context, bandwidth):
    return _decode(n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits, head_bits, context, bandwidth)


def _decode_mistake(**mistake):
    return lambda *args: _decode(*args, **mistake)


BOUND = Exercise(
    id="decode_speed_bound",
    chapter="12",
    title="How fast can it possibly be?",
    task="Bytes that decoding one token reads, and the most tokens per second that a memory bandwidth allows.",
    difficulty=2,
    minutes=15,
    reference=_decode_right,
    make=_make_model,
    shapes=(
        {"layers": 1, "heads": 2, "kv_heads": 1, "head_dim": 4, "hidden": 24, "vocab": 40},
        {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "hidden": 96, "vocab": 64},
        {"layers": 30, "heads": 9, "kv_heads": 3, "head_dim": 64, "hidden": 1536, "vocab": 49152},
        {"layers": 32, "heads": 32, "kv_heads": 32, "head_dim": 128, "hidden": 11008, "vocab": 32000},
        {"layers": 80, "heads": 64, "kv_heads": 8, "head_dim": 128, "hidden": 28672, "vocab": 32000},
    ),
    axes=(),
    outputs=("bytes_per_token", "tokens_per_second"),
    hints=(
        "A token is multiplied with every matrix of every layer and with the head, once. What else is read that was "
        "computed for earlier tokens?",
        "A layer has wq and wo (dim x dim), wk and wv (kv_dim x dim) and three matrices dim x hidden_dim, where kv_dim "
        "= n_kv_heads * dim / n_heads. Of the embedding table only one row is read. The cache holds keys and values, "
        "4 bytes each, of `context` positions.",
        "kv_dim = dim // n_heads * n_kv_heads\n"
        "layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden_dim\n"
        "cache = 2 * n_layers * kv_dim * context * 4\n"
        "n_bytes = n_layers * layer * bits / 8 + vocab_size * dim * head_bits / 8 + cache\n"
        "return n_bytes, bandwidth / n_bytes",
    ),
    mistakes=(
        Mistake(
            "Your function forgets the keys and values of the positions before.",
            "Attention reads all of them for every token: 2 * n_layers * kv_dim * context numbers of 4 bytes.",
            _decode_mistake(no_cache=True),
        ),
        Mistake(
            "Your function counts the embedding table as well as the head.",
            "Only one row of the table is read for a token. It is the head that is multiplied in full.",
            _decode_mistake(tables=2),
        ),
        Mistake(
            "Your function leaves the head out.",
            "The logits of the whole vocabulary take a product with a vocab_size x dim matrix, in a small model the "
            "largest of all.",
            _decode_mistake(tables=0),
        ),
        Mistake(
            "Your cache has keys and values for every query head.",
            "With grouped queries only n_kv_heads have keys and values: that is what they were invented for.",
            _decode_mistake(all_heads=True),
        ),
        Mistake(
            "Your wk and wv are dim x dim.",
            "They produce n_kv_heads heads only: kv_dim = n_kv_heads * head_dim rows.",
            _decode_mistake(square=True),
        ),
        Mistake(
            "Your feed-forward layer has two matrices.",
            "SwiGLU has three: gate, up and down.",
            _decode_mistake(matrices=2),
        ),
        Mistake(
            "Your function counts the bits of the weights as bytes.",
            "Eight bits are a byte: weights * bits / 8.",
            _decode_mistake(bits_in_a_byte=1),
        ),
    ),
)

EXERCISES = (
    Q8_0,
    Q4_0_BACK,
    Q4_0,
    BOUNDS,
    GROUPS,
    INT8,
    ZERO_POINT,
    DOT4,
    INTERLEAVE,
    PLANES,
    Q4_0_MATVEC,
    BOUND,
)
