"""Chapter 04: RMSNorm, root-mean-square normalisation.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check rmsnorm_forward`. `minillama learn lab 04`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "rmsnorm_forward",
    "rmsnorm_backward",
    "rmsnorm_float16",
    "rmsnorm_kernel",
    "add_rmsnorm",
)
CORE = ("rmsnorm_forward", "rmsnorm_backward")
NEEDS = ("03",)
