"""Chapter 03: embeddings, logits, cross-entropy, perplexity.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check cross_entropy_loss`. `minillama learn lab 03`
opens the chapter. Any helper functions of your own may stand beside these,
and the functions may call one another.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "gather_embeddings",
    "log_sum_exp",
    "shift_targets",
    "cross_entropy_loss",
    "cross_entropy_backward",
    "perplexity",
    "bits_per_byte",
)
CORE = ("gather_embeddings", "log_sum_exp", "cross_entropy_loss", "cross_entropy_backward")
NEEDS = ("01", "02")
