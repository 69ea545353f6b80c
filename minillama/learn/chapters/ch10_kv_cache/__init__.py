"""Chapter 10: the KV cache.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check chunk_mask`. `minillama learn lab 10`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "chunk_mask",
    "append_with_growth",
    "attention_decode_step",
    "plan_rewind",
    "ring_slots",
    "sliding_window_attention",
)
CORE = ("chunk_mask", "append_with_growth", "attention_decode_step")
NEEDS = ("09",)
