"""The 16-wide vector operations equal their twins in NumPy."""

import numpy as np
import pytest
from numba import config

from minillama import simd
from minillama.jit import kernel
from minillama.simd import (
    join_bits,
    keep_bits,
    load_bytes,
    scale_and_add,
    shift_left,
    shift_right,
    signed_to_float,
    spread_bits,
    store_floats,
    unsigned_to_float,
)

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the compiler is off: the twins are all there is")


@kernel
def _bytes_kernel(raw, at, n, out):
    a = load_bytes(raw, at)
    store_floats(out, 0, unsigned_to_float(shift_right(a, n)))
    store_floats(out, 16, unsigned_to_float(shift_left(a, n)))
    store_floats(out, 32, unsigned_to_float(keep_bits(a, 0x5A)))
    store_floats(out, 48, unsigned_to_float(join_bits(a, load_bytes(raw, at + 16))))
    store_floats(out, 64, signed_to_float(a))
    store_floats(out, 80, scale_and_add(signed_to_float(a), np.float32(0.125), np.float32(-3)))
    store_floats(out, 96, unsigned_to_float(spread_bits(np.intp(raw[at]) | np.intp(raw[at + 1]) << 8)))


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("n", [0, 3, 7])
def test_vectors_equal_their_twins(at, n, rng):
    raw, out = rng.integers(0, 256, 64, dtype=np.uint8), np.empty(112, np.float32)
    _bytes_kernel(raw, at, n, out)
    twin = {name: getattr(simd, name).twin for name in simd.__dict__ if hasattr(getattr(simd, name), "twin")}
    a = twin["load_bytes"](raw, at)
    signed, unsigned = twin["signed_to_float"], twin["unsigned_to_float"]
    expected = np.concatenate(
        [
            unsigned(twin["shift_right"](a, n)),
            unsigned(twin["shift_left"](a, n)),
            unsigned(twin["keep_bits"](a, 0x5A)),
            unsigned(twin["join_bits"](a, twin["load_bytes"](raw, at + 16))),
            signed(a),
            twin["scale_and_add"](signed(a), 0.125, -3),
            unsigned(twin["spread_bits"](int(raw[at]) | int(raw[at + 1]) << 8)),
        ]
    )
    np.testing.assert_array_equal(out, expected)
