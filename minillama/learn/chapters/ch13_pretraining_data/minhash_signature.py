"""The fingerprint of a document."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....data.duplicates.minhash_kernels import multiply_add
from ...exercises.exercise import exercise

PRIME = (1 << 61) - 1


def compiled_signature(shingles: list[int], a: list[int], b: list[int]) -> list[int]:
    """The same by the package's compiled arithmetic."""
    u = np.uint64
    return [min(int(multiply_add(u(f), u(x), u(s))) for x in shingles) for f, s in zip(a, b)]


def make_signature(rng: np.random.Generator, shingles: int, functions: int) -> tuple[Any, ...]:
    return tuple(rng.integers(1 << 58, PRIME, n).tolist() for n in (shingles, functions, functions))


@exercise(
    title="The fingerprint of a document",
    task="For each function (a x + b) mod 2^61 - 1 the smallest value over all shingles.",
    difficulty=2,
    minutes=15,
    make=make_signature,
    shapes=(
        {"shingles": 1, "functions": 1},
        {"shingles": 2, "functions": 3},
        {"shingles": 5, "functions": 2},
        {"shingles": 4, "functions": 4},
        {"shingles": 30, "functions": 112},
    ),
    exact=True,
    oracle=compiled_signature,
    hints=(
        "One number for each function, however many shingles there are: the function puts the shingles in a random "
        "order, and its smallest value says which comes first.",
        "a x has up to 122 bits, more than any NumPy integer. Python's own integers have no limit.",
        "p = 2**61 - 1\nreturn [min((f * x + s) % p for x in shingles) for f, s in zip(a, b)]",
    ),
    why=(
        "A random function puts all shingles in a random order, and the first of one document is the first of another "
        "with a probability that is their Jaccard similarity; so the share of equal values estimates it. A prime "
        "modulus keeps different shingles different. The product has up to 122 bits, and Python's integers hold it."
    ),
)
def minhash_signature(shingles, a, b):
    """The MinHash signature of a document.

    signature[i] = min over shingles x of  (a[i] * x + b[i]) mod (2^61 - 1)

    Parameters
    ----------
    shingles : list of int
        Hashes of the document's shingles, below 2^61 - 1.
    a, b : list of int
        The random functions, below 2^61 - 1.

    Returns
    -------
    list of int
        One value for each function.
    """
    prime = 2**61 - 1  # Python's integers, because a x does not fit 64 bits
    return [min((factor * x + summand) % prime for x in shingles) for factor, summand in zip(a, b)]


@minhash_signature.mistake(
    "Your function multiplies in 64 bits, and the product overflows before the modulus is taken.",
    "uint64 silently keeps the product modulo 2^64. Use Python's integers, or split the factors as the "
    "package's kernel does.",
)
def wrapped_signature(shingles, a, b):
    with np.errstate(over="ignore"):
        x = np.array(shingles, np.uint64)
        values = np.array(a, np.uint64)[:, None] * x + np.array(b, np.uint64)[:, None]
    return (values % np.uint64(PRIME)).min(axis=1).tolist()


@minhash_signature.mistake(
    "Your function takes the largest value.",
    "That would work as well as the smallest if all did it; signatures of others are of smallest values.",
)
def takes_largest_value(shingles, a, b):
    return [max((f * x + s) % PRIME for x in shingles) for f, s in zip(a, b)]


@minhash_signature.mistake(
    "Your function takes the minimum over the functions, one value for each shingle.",
    "The signature has one value for each function: the minimum goes over the shingles.",
)
def takes_the_minimum_over_functions(shingles, a, b):
    return [min((f * x + s) % PRIME for f, s in zip(a, b)) for x in shingles]


@minhash_signature.mistake(
    "Your function uses the first function for all values.",
    "Equal functions give equal values: the signature would be one number, 112 times. Take a[i] and b[i].",
)
def uses_the_first_function_for_all(shingles, a, b):
    return [min((a[0] * x + b[0]) % PRIME for x in shingles)] * len(a)


@minhash_signature.mistake(
    "Your function takes the values modulo 2^61.",
    "The modulus is the prime 2^61 - 1. Modulo a power of two the low bits of the product depend on low bits only.",
)
def takes_values_modulo(shingles, a, b):
    return [min((f * x + s) % (1 << 61) for x in shingles) for f, s in zip(a, b)]


@minhash_signature.mistake(
    "Your function adds b after the modulus.",
    "Then b shifts all values alike and changes no order, and results can exceed the prime: (a x + b) mod p.",
)
def adds_b_after_modulus(shingles, a, b):
    return [min((f * x) % PRIME + s for x in shingles) for f, s in zip(a, b)]


@minhash_signature.mistake(
    "Your function takes no modulus.",
    "Without it the smallest x always wins, whatever the function: the modulus mixes the order.",
)
def takes_no_modulus(shingles, a, b):
    return [min(f * x + s for x in shingles) for f, s in zip(a, b)]
