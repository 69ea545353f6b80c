"""What repacked matrices and rounded activations look like to the kernels; repacked.py explains why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# How the numbers of a matrix are stored: `MatrixLayout.kind`. Integers come first.
BYTES, NIBBLES, LEVELS, K_NIBBLES, K_SIXES, SINGLES, HALVES, BRAINS = range(8)
# Bytes ahead of what is multiplied that are asked for from memory.
AHEAD = 16384


class MatrixLayout(NamedTuple):
    """Where the parts of a matrix lie in its bytes, as the kernels take it: integers only.

    BYTES, NIBBLES, LEVELS: a block of 16 rows and 32 columns is `stride` bytes: its numbers, then
    16 scales, then 16 minima. LEVELS are nibbles that stand for an entry of a table.

    K_NIBBLES, K_SIXES: a block of 16 rows and 256 columns is `stride` bytes: eight times the numbers of
    32 columns, int8 scales for the first 16 of them and for the other 16, and minima (uint8) likewise;
    then the float16 d of every row, and that of the minima, with its sign turned. Numbers of six bits
    are nibbles, followed by the upper pairs of bits.

    Everything that decoding reads is thus one stream, in the order in which it is read.
    """

    start: int
    stride: int  # 0 in matrices of floats
    n_groups: int  # of 16 rows
    n_blocks: int  # of 32 or 256 columns; of one in matrices of floats
    kind: int  # BYTES ... BRAINS
    zero: int  # what is subtracted from every number
    wide: int  # 1: scales and minima are float32
    minima: int  # 1: there are minima


# The kernels read a layout as a row of int64: the places of its fields.
START, STRIDE, N_GROUPS, N_BLOCKS, KIND, ZERO, WIDE, MINIMA = range(len(MatrixLayout._fields))


class Planes(NamedTuple):
    """Rows of activations, each block of 32 rounded to 15 bits, the sign among them."""

    high: NDArray[np.int8]  # (N, C)   x = d * (128 * high + low)
    low: NDArray[np.int8]  # (N, C)
    d: NDArray[np.float32]  # (N, C / 32)
    total: NDArray[np.float32]  # (N, C / 32)  sum of 128 * high + low over the block, exact below 2 ** 24
    half: NDArray[np.float32]  # (N, C / 32)  the same over its first 16 columns
    # 128 * high + low, of every four columns the first and the third, then the second and the fourth;
    # only where the CPU multiplies words (compute/simd_words.py), otherwise (N, 0)
    words: NDArray[np.int16]
