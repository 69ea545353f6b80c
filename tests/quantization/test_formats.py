"""Block formats: golden vectors, equality with gguf on random blocks, kernels, errors."""

import gguf
import numpy as np
import pytest

from minillama.quantization.formats import FORMATS, GroupedArray, PackedArray, format_name, quantize, to_float32
from minillama.quantization.kernels import unpack_rows

WRITABLE = [name for name, f in FORMATS.items() if f.quantize]
RAMP = ((np.arange(32) - 16) / 8).astype(np.float32)[None]


def pattern(n, a, b):
    return (a * np.arange(n) + b) % 256


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Q8_0", "082481899199a1a9b1b9c0c8d0d8e0e8f0f8000810182028303840474f575f676f77"),
        ("Q4_0", "0034809191a2a2b3b3c4c4d5d5e6e6f7f7f8"),
        ("Q4_1", "223400c080809191a2a2b3b3c4c4d5d5e6e6f7f7"),
        ("Q5_0", "00300000ffff00112233445566778899aabbccddeeff"),
        ("Q5_1", "003000c00000ffff00112233445566778899aabbccddeeff"),
    ],
)
def test_golden_blocks(name, expected):
    assert quantize(RAMP, name).data.tobytes().hex() == expected


_ONE_AND_HALF = np.array([1.0, 0.5], np.float16).view(np.uint8)
_ONE = np.array([1.0], np.float16).view(np.uint8)


@pytest.mark.parametrize(
    ("name", "parts", "values", "total", "total_abs"),
    [
        (
            "Q4_K",
            (_ONE_AND_HALF, pattern(12, 23, 7), pattern(128, 29, 3)),
            [3.5, -17.5, 24.5, -29, 211, 150.5, 4, 31.5, 9.5, 120, 104],
            31976,
            32804,
        ),
        (
            "Q5_K",
            (_ONE_AND_HALF, pattern(12, 23, 7), pattern(32, 41, 5), pattern(128, 29, 3)),
            [115.5, -17.5, 24.5, -29, 211, 998.5, 196, 31.5, 9.5, 328, 424],
            71928,
            72392,
        ),
        (
            "Q6_K",
            (pattern(128, 29, 3), pattern(64, 41, 5), pattern(16, 37, 9), _ONE),
            [-117, 0, -1196, -1079, 2640, 3168, 216, -637, -1599, -118, -1352],
            3140,
            228674,
        ),
    ],
)
def test_golden_k_blocks(name, parts, values, total, total_abs):
    data = np.concatenate(parts).astype(np.uint8)[None]
    y = PackedArray(data, FORMATS[name], 256).to_float32()[0]
    np.testing.assert_array_equal(y[[0, 1, 31, 32, 63, 64, 127, 128, 160, 200, 255]], values)
    assert (y.sum(), np.abs(y).sum()) == (total, total_abs)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # random bytes make infinite scales
@pytest.mark.parametrize("name", FORMATS)
def test_unpacks_as_gguf_and_the_kernel_do(name, rng):
    """Random bytes: every bit pattern of scales and numbers, NaN and infinity included."""
    format = FORMATS[name]
    data = rng.integers(0, 256, (300, format.row_bytes(512)), dtype=np.uint8)
    packed = PackedArray(data, format, 512)
    expected = gguf.dequantize(data, gguf.GGMLQuantizationType[name])
    np.testing.assert_array_equal(packed.to_float32(), expected)
    np.testing.assert_array_equal(unpack_rows(packed, slice(None)), expected)
    np.testing.assert_array_equal(unpack_rows(packed, slice(7, 11)), expected[7:11])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("name", WRITABLE)
def test_packs_as_gguf_does(name, scale, rng):
    x = (scale * rng.normal(size=(200, 256))).astype(np.float32)
    x[3], x[4, :32], x[5] = 0, 1, -1
    expected = gguf.quantize(x, gguf.GGMLQuantizationType[name]).view(np.uint8).reshape(200, -1)
    np.testing.assert_array_equal(quantize(x, name).data, expected)


def test_number_of_each_format_is_that_of_ggml():
    for name, format in FORMATS.items():
        assert gguf.GGMLQuantizationType[name] == format.ggml_type
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] == (format.block_size, format.block_bytes)


def test_bfloat16_rounds_as_pytorch_does(rng):
    import torch

    x = np.concatenate((rng.normal(size=998), [np.inf, -np.inf])).astype(np.float32)[None]
    expected = torch.tensor(x).bfloat16()
    packed = quantize(x, "BF16")
    np.testing.assert_array_equal(packed.data.view(np.uint16), expected.view(torch.uint16).numpy())
    np.testing.assert_array_equal(packed.to_float32(), expected.float().numpy())
    assert np.isnan(quantize(np.array([[np.nan]], np.float32), "BF16").to_float32()).all()


def test_rows_can_be_chosen(rng):
    packed = quantize(rng.normal(size=(9, 64)).astype(np.float32), "Q5_1")
    np.testing.assert_array_equal(packed.to_float32(np.array([8, 0, 8])), packed.to_float32()[[8, 0, 8]])
    np.testing.assert_array_equal(packed.to_float32(slice(2, 4)), packed.to_float32()[2:4])


def test_groups_that_cross_rows(rng):
    values = rng.integers(-127, 128, (6, 10), dtype=np.int8)
    grouped = GroupedArray(values, rng.random(15, dtype=np.float32))  # groups of 4
    expected = (values.reshape(-1, 4) * grouped.scales[:, None]).reshape(6, 10)
    np.testing.assert_array_equal(grouped.to_float32(), expected)
    np.testing.assert_array_equal(grouped.to_float32(np.array([5, 1])), expected[[5, 1]])
    assert (grouped.shape, grouped.group_size, grouped.format_name) == ((6, 10), 4, "int8/4")


def test_names_for_people(rng):
    x = rng.normal(size=(2, 32)).astype(np.float32)
    assert [format_name(a) for a in (x, x.astype(np.float64), quantize(x, "Q4_0"))] == ["F32", "F64", "Q4_0"]
    assert to_float32(x) is x


def test_misfits_are_refused(rng):
    x = rng.normal(size=(2, 40)).astype(np.float32)
    with pytest.raises(ValueError, match="rows of 40 do not divide"):
        quantize(x, "Q8_0")
    with pytest.raises(ValueError, match="cannot quantise to 'Q6_K'; formats that can be written: F16"):
        quantize(x, "Q6_K")
    with pytest.raises(ValueError, match="take 34 bytes each, got uint8 of shape"):
        PackedArray(np.zeros((2, 33), np.uint8), FORMATS["Q8_0"], 32)
    with pytest.raises(ValueError, match="7 scales do not divide"):
        GroupedArray(np.zeros((2, 4), np.int8), np.ones(7, np.float32))
