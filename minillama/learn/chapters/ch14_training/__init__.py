"""Chapter 14: backpropagation and training.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check attention_backward`. `minillama learn lab 14`
opens the chapter. Any helper functions of your own may stand beside these.

A name that begins with d is a gradient: dx is how the loss changes with x, and has the shape of x.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "numerical_gradient",
    "linear_backward",
    "embedding_backward",
    "softmax_backward",
    "attention_backward",
    "residual_ffn_backward",
    "accumulate_micro_batches",
    "gradient_global_norm",
    "clip_by_global_norm",
    "decayed_parameters",
    "adamw_step",
    "warmup_cosine",
    "overfit",
)
# What the starter imports.
IMPORTS = (
    "import math",
    "import numpy as np",
)
CORE = (
    "numerical_gradient",
    "linear_backward",
    "softmax_backward",
    "attention_backward",
    "clip_by_global_norm",
    "adamw_step",
    "warmup_cosine",
)
NEEDS = ("09",)
