"""Chapter 08: SwiGLU, the feed-forward layer of LLaMA.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check swiglu_forward`. `minillama learn lab 08`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "silu_stable",
    "swiglu_forward",
    "feed_forward",
    "feed_forward_fused",
    "ffn_hidden_dim",
    "swiglu_backward",
)
CORE = ("silu_stable", "swiglu_forward", "feed_forward")
NEEDS = ("04",)
