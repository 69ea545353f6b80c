"""Chapter 12: quantisation and speed.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check q8_0_quantize_blocks`. `minillama learn lab 12`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def q8_0_quantize_blocks(x):
    """Quantise blocks of 32 numbers as Q8_0.

    d = max|x| / 127,     q[i] = round(x[i] / d), halves away from zero

    The integers come from d in float32; it is rounded to float16 only to be stored. A block of
    zeros has d = 0 and q = 0.

    Parameters
    ----------
    x : float32 ndarray of shape (n, 32)
        A block in every row.

    Returns
    -------
    d : float16 ndarray of shape (n,)
    q : int8 ndarray of shape (n, 32)
    """
    raise NotImplementedError


def q4_0_dequantize_blocks(blocks):
    """Turn Q4_0 blocks into numbers: w = d * (q - 8).

    The 18 bytes of a block: a float16 scale d, then 16 bytes with two numbers q of 4 bits each.
    Byte i of the 16 holds q[i] in its lower half and q[i + 16] in its upper half.

    Parameters
    ----------
    blocks : uint8 ndarray of shape (n, 18)

    Returns
    -------
    w : float32 ndarray of shape (n, 32)
    """
    raise NotImplementedError


def q4_0_quantize_blocks(x):
    """Quantise blocks of 32 numbers as Q4_0, to the bytes of a GGUF file.

    The levels are d * (q - 8) with q = 0 ... 15. The number of largest size (the first of them) gets
    q = 0, whatever its sign; every other gets the nearest q that there is. Where x / d lies just
    half way between two, the larger q is taken.

    The integers come from d in float32; it is stored as float16. Layout as in
    `q4_0_dequantize_blocks`. No block consists of zeros only.

    Parameters
    ----------
    x : float32 ndarray of shape (n, 32)

    Returns
    -------
    blocks : uint8 ndarray of shape (n, 18)
    """
    raise NotImplementedError


def block_error_bounds(x):
    """The largest error that any number with this block's scale can have, |w - x|, in three formats.

    Q8_0 has levels d * (-127 ... 127) with d = max|x| / 127; Q4_0 has d * (-8 ... 7) with
    d = (number of largest size) / -8; Q4_1 has m + d * (0 ... 15) with m = min x and
    d = (max x - min x) / 15. Every number goes to the nearest level that there is. The rounding of
    d and m to float16 is left out.

    Take any number that the format allows in a block with this d (and m), not the 32 that happen
    to be there: of size up to max|x| for Q8_0 and Q4_0, from min x to max x for Q4_1.

    Parameters
    ----------
    x : float32 ndarray of shape (n, 32)

    Returns
    -------
    q8_0, q4_0, q4_1 : ndarrays of shape (n,)
    """
    raise NotImplementedError


def choose_group_size(w, sizes, bits, tolerance):
    """Compare group sizes, and choose the largest whose error is tolerable.

    Groups are `size` neighbours in a row. Each has a scale d = max|w| / (2 ** (bits - 1) - 1), which
    costs 16 bits (its own rounding is left out), and integers q = rint(w / d) of `bits` bits. A group
    of zeros has d = 0 and no error.

    bits_per_weight = bits + 16 / size
    error = sqrt(mean((d q - w) ** 2)) / sqrt(mean(w ** 2))        over the whole matrix

    Parameters
    ----------
    w : float32 ndarray of shape (R, C)
    sizes : list of int
        Divisors of C, in no special order.
    bits : int
    tolerance : float
        The largest error that is accepted; 0 where the weights are whole multiples of d.

    Returns
    -------
    bits_per_weight, error : ndarrays of shape (len(sizes),)
    chosen : int
    """
    raise NotImplementedError


def int8_block_matvec(q, d, x, dx):
    """Multiply a quantised matrix with a quantised vector.

    y[r] = sum over blocks b of  d[r, b] * dx[b] * (sum over i in block b of q[r, i] * x[i])

    The inner sum is exact. Block b holds the elements 32 b ... 32 b + 31.

    Parameters
    ----------
    q : int8 ndarray of shape (R, C), C a multiple of 32
    d : float32 ndarray of shape (R, C / 32)
    x : int8 ndarray of shape (C,)
    dx : float32 ndarray of shape (C / 32,)

    Returns
    -------
    y : float32 ndarray of shape (R,)
    """
    raise NotImplementedError


def zero_point_correction(sums, x, zero):
    """From sums with unsigned weights to sums with signed ones.

    The CPU multiplies unsigned weights, so `zero` was added to every one of them. Given

    sums[r, b] = sum over i in block b of u[r, i] * x[i],     u = q + zero

    return the sums of q[r, i] * x[i], without the weights.

    Parameters
    ----------
    sums : int32 ndarray of shape (R, B)
    x : int8 ndarray of shape (32 * B,)
    zero : int
        8, 16 or 128.

    Returns
    -------
    ndarray of integers of shape (R, B)
    """
    raise NotImplementedError


def dot4_lanes(sums, weights, x):
    """What one vpdpbusd does, for any number of lanes (16 with AVX-512, 8 with AVX, 4 on Arm).

    result[n] = sums[n] + sum over k = 0 ... 3 of weights[4 n + k] * x[k]

    Parameters
    ----------
    sums : int32 ndarray of shape (lanes,)
    weights : uint8 ndarray of shape (4 * lanes,)
    x : int8 ndarray of shape (4,)

    Returns
    -------
    int32 ndarray of shape (lanes,)
    """
    raise NotImplementedError


def interleave_rows(q):
    """Reorder a matrix of bytes into what one instruction after another multiplies.

    out[g, s, 4 * n + k] = q[16 * g + n, 4 * s + k]        n = 0 ... 15, k = 0 ... 3

    The last group is filled up with rows of zeros.

    Parameters
    ----------
    q : uint8 ndarray of shape (R, C), C a multiple of 4

    Returns
    -------
    out : uint8 ndarray of shape (ceil(R / 16), C / 4, 64)
    """
    raise NotImplementedError


def split_in_planes(x):
    """Round activations to 15 bits, the sign among them, in two planes of signed bytes.

    d = max|x| / (127 * 128) over each block of 32
    x = d * (128 * high + low)      but for the rounding to the nearest integer
    total = sum over the block of 128 * high + low

    A block of zeros has d = 0 and zeros everywhere. There is more than one way to split an integer
    in `high` and `low`; any is right in which both are int8.

    Parameters
    ----------
    x : float32 ndarray of shape (32 * B,)

    Returns
    -------
    high, low : int8 ndarrays of shape (32 * B,)
    d : float32 ndarray of shape (B,)
    total : ndarray of shape (B,)
    """
    raise NotImplementedError


def q4_0_matvec(blocks, x):
    """Multiply a matrix that stays packed in Q4_0 with a vector: y = W x.

    NumPy is enough to be right. With Numba, and without an array of all the unpacked weights, it
    becomes fast: the speed card compares it with plain loops and with the package's kernel.

    Parameters
    ----------
    blocks : uint8 ndarray of shape (R, B, 18)
        Block b of row r, laid out as in `q4_0_dequantize_blocks`.
    x : float32 ndarray of shape (32 * B,)

    Returns
    -------
    y : float32 ndarray of shape (R,)
    """
    raise NotImplementedError


def decode_speed_bound(n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits, head_bits, context, bandwidth):
    """Bytes that decoding one token reads, and the most tokens per second that they allow.

    Read are all matrices of all layers at `bits` bits a weight (wq, wk, wv, wo, w_gate, w_up,
    w_down), the output head at `head_bits`, and the keys and values of the `context` positions
    before, in float32. Norms, activations and the one row of the embedding table are too small to
    count.

    Parameters
    ----------
    n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size : int
        head_dim is dim / n_heads.
    bits, head_bits : float
        Bits per weight, scales included: 4.5 for Q4_0, 8.5 for Q8_0.
    context : int
    bandwidth : float
        Bytes that the memory delivers in a second.

    Returns
    -------
    bytes_per_token : float
    tokens_per_second : float
    """
    raise NotImplementedError
