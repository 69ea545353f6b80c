"""Chapter 00: first words.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check count_parameters`. `minillama learn lab 00`
opens the chapter. Any helper functions of your own may stand beside these.

A `config` is a dict with the keys that `read_config` returns.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "continue_greedily",
    "read_config",
    "count_parameters",
    "activation_shapes",
    "context_that_fits",
)
CORE = ("continue_greedily", "count_parameters")
NEEDS = ()
