"""Chapter 05: RoPE, rotary position embedding.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check rope_interleaved`. `minillama learn lab 05`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "rope_angles",
    "rope_interleaved",
    "rope_half",
    "permute_half_to_interleaved",
    "rope_offsets",
    "rope_backward",
)
CORE = ("rope_angles", "rope_interleaved", "rope_offsets")
NEEDS = ("03",)
