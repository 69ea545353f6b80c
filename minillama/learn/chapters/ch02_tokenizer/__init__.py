"""Chapter 02: the tokenizer, from text to numbers and back.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check train_bpe`. `minillama learn lab 02`
opens the chapter. Any helper functions of your own may stand beside these, and the
functions may call one another.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "count_bpe_pairs",
    "merge_pair",
    "train_bpe",
    "encode_with_merges",
    "split_digits",
    "byte_fallback_ids",
    "byte_characters_of",
    "sentencepiece_encode",
    "utf8_feed",
)
CORE = ("count_bpe_pairs", "merge_pair", "train_bpe", "encode_with_merges", "byte_fallback_ids")
NEEDS = ("00",)
