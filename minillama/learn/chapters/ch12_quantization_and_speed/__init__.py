"""Chapter 12: quantisation and speed.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check q8_0_quantize_blocks`. `minillama learn lab 12`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "q8_0_quantize_blocks",
    "q4_0_dequantize_blocks",
    "q4_0_quantize_blocks",
    "block_error_bounds",
    "choose_group_size",
    "int8_block_matvec",
    "zero_point_correction",
    "dot4_lanes",
    "interleave_rows",
    "split_in_planes",
    "q4_0_matvec",
    "decode_speed_bound",
)
CORE = (
    "q8_0_quantize_blocks",
    "q4_0_dequantize_blocks",
    "q4_0_quantize_blocks",
    "block_error_bounds",
    "choose_group_size",
    "int8_block_matvec",
    "decode_speed_bound",
)
NEEDS = ("10",)
