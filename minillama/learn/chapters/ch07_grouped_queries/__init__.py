"""Chapter 07: MHA, MQA and GQA.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check grouped_attention`. `minillama learn lab 07`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "key_head_of_query_heads",
    "repeat_kv_heads",
    "grouped_attention",
    "pool_heads_into_groups",
    "expand_groups_to_heads",
    "kv_cache_bytes_grouped",
)
CORE = ("key_head_of_query_heads", "grouped_attention", "kv_cache_bytes_grouped")
NEEDS = ("06",)
