"""The rules that decide about one text, each a function from a text to a `Decision`."""

RULES = (
    "repetition", "gopher", "c4", "fineweb", "harmful", "contamination", "exact", "minhash", "personal-data",
)  # fmt: skip
"""The names of all rules, those about collections too, in FineWeb's order."""
