"""Chapter 11: sampling.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check top_p_filter`. `minillama learn lab 11`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "temperature_probabilities",
    "top_k_filter",
    "top_p_filter",
    "min_p_filter",
    "penalize_repeated_tokens",
    "filtered_probabilities",
    "draw_token",
    "chi_squared",
)
CORE = ("temperature_probabilities", "top_k_filter", "top_p_filter", "draw_token")
NEEDS = ("09",)
