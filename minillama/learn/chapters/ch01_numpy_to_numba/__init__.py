"""Chapter 01: from NumPy to Numba.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check stable_softmax`. `minillama learn lab 01`
opens the chapter. Any helper functions of your own may stand beside these:
compiled kernels too, which take arrays to write into and are called by the functions below.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "c_strides",
    "cache_lines_read",
    "roofline_seconds",
    "stable_softmax",
    "parallel_matvec",
    "scatter_add_parallel",
    "pairwise_sum",
)
# What the starter imports.
IMPORTS = (
    "import numpy as np",
    "from numba import njit, prange",
)
CORE = ("c_strides", "stable_softmax", "parallel_matvec", "pairwise_sum")
NEEDS = ("00",)
