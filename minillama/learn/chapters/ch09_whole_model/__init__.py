"""Chapter 09: the whole model on real weights.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check transformer_block`. `minillama learn lab 09`
opens the chapter. Any helper functions of your own may stand beside these.

The layers of the earlier chapters are at hand. Each returns its result and what its backward
pass needs, which is thrown away here:

    from minillama.ops import REFERENCE as ops

    y, _ = ops.rmsnorm_forward(x, weight, eps)
    y, _ = ops.linear_forward(x, weight)                        # x @ weight.T
    y, _ = ops.rope_forward(x, cos, sin, positions)             # x (B, H, T, head_dim), positions (B, T)
    y, _ = ops.attention_forward(q, k, v, positions)            # q (B, H, T, head_dim), k and v (B, K, T, head_dim)
    y, _ = ops.swiglu_forward(gate, up)

Your own functions of the earlier chapters do as well.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "residual_stream",
    "transformer_block",
    "head_logits",
    "logit_lens",
    "llama2c_header",
    "load_llama2c_v0",
    "layer_errors",
)
CORE = ("transformer_block", "head_logits", "llama2c_header", "load_llama2c_v0")
NEEDS = ("07", "08")
