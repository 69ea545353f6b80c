"""Chapter 06: causal attention.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check attend_one_head`. `minillama learn lab 06`
opens the chapter. Functions may call one another, and any helper of your own may
stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "softmax_over_keys",
    "causal_mask",
    "attend_one_head",
    "split_into_heads",
    "attend_many_heads",
    "attend_online",
    "attend_decode",
)
CORE = ("softmax_over_keys", "causal_mask", "attend_one_head", "attend_many_heads")
NEEDS = ("04", "05")
