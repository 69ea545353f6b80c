"""Chapter 13: pretraining data, from pages of the web to rows of tokens.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check luhn_valid`. `minillama learn lab 13`
opens the chapter. Any helper functions of your own may stand beside these, and
the functions may call one another.

What a function is given stays as it is, unless its text says that it is written to.
"""

EXERCISES = (
    "gopher_broken_rules",
    "duplicate_line_shares",
    "repeated_ngram_share",
    "c4_clean_lines",
    "luhn_valid",
    "iban_checksum_valid",
    "ipv4_public",
    "redact_emails",
    "redact_or_drop",
    "threshold_costs",
    "jaccard_of_texts",
    "minhash_signature",
    "candidate_probability",
    "band_candidates",
    "duplicate_clusters",
    "samples_with_overlap",
    "contaminated_tokens",
    "mixture_epochs",
    "rows_for_training",
    "bits_per_byte_of_targets",
)
CORE = (
    "gopher_broken_rules",
    "repeated_ngram_share",
    "luhn_valid",
    "redact_emails",
    "jaccard_of_texts",
    "minhash_signature",
    "candidate_probability",
    "band_candidates",
    "duplicate_clusters",
    "contaminated_tokens",
    "mixture_epochs",
)
NEEDS = ("03",)
