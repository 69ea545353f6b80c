"""Bits per byte."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_text(rng: np.random.Generator, tokens: int, characters: int) -> tuple[Any, ...]:
    """A text with characters of one to four bytes."""
    text = "".join(rng.choice(list("ab né世🙂"), characters).tolist())
    return (-rng.exponential(2.0, tokens)).astype(np.float32), "é" + text


@exercise(
    title="Bits per byte",
    task="Compute how many bits the model needs for one byte of a text, whatever its tokenizer.",
    difficulty=1,
    minutes=8,
    make=make_text,
    shapes=(
        {"tokens": 2, "characters": 1},
        {"tokens": 1, "characters": 2},
        {"tokens": 3, "characters": 7},
        {"tokens": 12, "characters": 5},
        {"tokens": 40, "characters": 130},
    ),
    hints=(
        "The sum of -log p is what the whole text costs, in nats. It does not depend on how the text was cut.",
        "One bit is log 2 nats. The bytes of a text are those of its UTF-8 form.",
        'return -logprobs.sum() / np.log(2) / len(text.encode("utf-8"))',
    ),
    why=(
        "A token is whatever a tokenizer calls one, so losses per token cannot be compared between two of them; the "
        "bytes of a text are the same for both. The sum of the losses is what the whole text costs in nats, and a nat "
        "is 1 / log 2 bits. Bytes are not characters: outside of ASCII a character has two to four."
    ),
)
def bits_per_byte(logprobs, text):
    """The bits that a model needs for one byte of a text.

    sum(-log p) / log 2 / (number of bytes of the text in UTF-8)

    Parameters
    ----------
    logprobs : ndarray of shape (T,)
        log p of every token of the text, natural logarithm.
    text : str

    Returns
    -------
    float
    """
    return -logprobs.sum() / np.log(2) / len(text.encode("utf-8"))


@bits_per_byte.mistake(
    "Your function divides by the number of characters.",
    "é is one character and two bytes: len(text.encode('utf-8')).",
)
def divides_by_number_of_characters(logprobs, text):
    return -logprobs.sum() / (np.log(2) * len(text))


@bits_per_byte.mistake(
    "Your function divides by the number of tokens: bits per token.",
    "A tokenizer with longer tokens has more bits for each. Bytes are the same for every model.",
)
def divides_by_number_of_tokens(logprobs, text):
    return -logprobs.mean() / np.log(2)


@bits_per_byte.mistake(
    "Your function measures in nats.",
    "Divide by log 2 to have bits.",
)
def measures_in_nats(logprobs, text):
    return -logprobs.sum() / len(text.encode())


@bits_per_byte.mistake(
    "Your function multiplies by log 2, where it has to divide.",
    "One nat is 1 / log 2 = 1.44 bits: the number in bits is the larger one.",
)
def multiplies_by_log_2(logprobs, text):
    return -logprobs.sum() * np.log(2) / len(text.encode())


@bits_per_byte.mistake(
    "Your function divides the mean by the bytes, not the sum.",
    "All tokens together describe all bytes: use the sum.",
)
def divides_mean_by_bytes(logprobs, text):
    return -logprobs.mean() / (np.log(2) * len(text.encode()))


@bits_per_byte.mistake(
    "Your function returns the inverse: bytes per bit.",
    "Bits divided by bytes: a better model has a smaller number.",
)
def returns_inverse_bytes_per_bit(logprobs, text):
    return -np.log(2) * len(text.encode()) / logprobs.sum()
