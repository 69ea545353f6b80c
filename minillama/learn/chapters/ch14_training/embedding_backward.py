"""A table, backwards."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import Arrays, normal_array


def make_embedding(rng: np.random.Generator, B: int, T: int, V: int, D: int) -> Arrays:
    """Tokens of few kinds, so that most of them repeat, and the first one comes again at the end.

    The last of the vocabulary never occurs; with an odd number of sequences neither does the first.
    """
    least = 1 if B % 2 and V > 3 else 0
    tokens = rng.integers(least, max(1, V - 1), (B, T))
    tokens[-1, -1] = tokens[0, 0]
    return normal_array(rng, B, T, D), tokens, V


def torch_embedding(dx, tokens, vocab_size):
    import torch

    table = torch.zeros(vocab_size, dx.shape[-1], dtype=torch.float64, requires_grad=True)
    x = torch.nn.functional.embedding(torch.tensor(tokens), table)
    return torch.autograd.grad(x, table, torch.tensor(dx, dtype=torch.float64))[0].numpy()


@exercise(
    title="A table, backwards",
    task="The gradient of the embedding table (V, D) in x = table[tokens], from dx (B, T, D); tokens repeat.",
    difficulty=2,
    minutes=15,
    make=make_embedding,
    shapes=(
        {"B": 1, "T": 3, "V": 4, "D": 2},
        {"B": 1, "T": 1, "V": 2, "D": 1},
        {"B": 2, "T": 5, "V": 3, "D": 3},
        {"B": 3, "T": 4, "V": 9, "D": 5},
        {"B": 3, "T": 30, "V": 11, "D": 16},
    ),
    axes=("token", "dim"),
    oracle=torch_embedding,
    hints=(
        "A row of the table is used wherever its token stands. What does a parameter collect that is used in several "
        "places?",
        "dweight[tokens] += dx does not do it: for an id that repeats, NumPy reads the row once, adds each and writes "
        "the last. np.add.at adds every one; so does a plain loop.",
        "dweight = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)\n"
        "np.add.at(dweight, tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))",
    ),
    why=(
        "A row that is looked up several times is used several times, so its gradients add up. An assignment with += "
        "reads all old rows before it writes any, and of repetitions only one remains; `np.add.at` takes them one by "
        "one. Tokens that do not occur keep a gradient of 0, because it must have the shape of the table."
    ),
)
def embedding_backward(dx, tokens, vocab_size):
    """The gradient of the table in x = table[tokens].

    dtable[v] = sum of dx[b, t] over all places (b, t) where tokens[b, t] = v

    Parameters
    ----------
    dx : ndarray of shape (B, T, D)
    tokens : integer ndarray of shape (B, T)
        Many of them repeat.
    vocab_size : int

    Returns
    -------
    dtable : ndarray of shape (vocab_size, D)
    """
    dtable = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)
    np.add.at(dtable, tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))  # += would lose repetitions
    return dtable


def last_wins(dx, tokens, vocab_size):
    dweight = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)
    for token, row in zip(tokens.ravel(), dx.reshape(-1, dx.shape[-1])):
        dweight[token] = row
    return dweight


@embedding_backward.mistake(
    "Where a token repeats, your function keeps the gradient of its last place only.",
    "That is what dweight[tokens] = dx does, and dweight[tokens] += dx as well: NumPy buffers the sum. Use "
    "np.add.at, or a loop with +=.",
)
def keeps_the_last_place_only(dx, tokens, vocab_size):
    return last_wins(dx, tokens, vocab_size)


@embedding_backward.mistake(
    "Where a token repeats, your function takes the mean of its places.",
    "Gradients of uses add up. A frequent token has a larger gradient than a rare one.",
)
def mean_of_places(dx, tokens, vocab_size):
    counts = np.bincount(tokens.ravel(), minlength=vocab_size)
    return embedding_backward(dx, tokens, vocab_size) / np.maximum(counts, 1)[:, None].astype(dx.dtype)


@embedding_backward.mistake(
    "Where a token repeats within a sequence, your function keeps its last place; sequences are added.",
    "dweight[tokens[b]] += dx[b] in a loop over the batch still loses repetitions inside of a sequence: np.add.at.",
)
def each_once_a_sequence(dx, tokens, vocab_size):
    return np.sum([last_wins(row, ids, vocab_size) for row, ids in zip(dx, tokens)], axis=0)


@embedding_backward.mistake(
    "Your function divides by the number of tokens.",
    "The mean over tokens is in the loss, and so in dx already.",
)
def divides_by_number_of_tokens(dx, tokens, vocab_size):
    return embedding_backward(dx, tokens, vocab_size) / np.float32(tokens.size)


@embedding_backward.mistake(
    "Your result has a row for each kind of token that occurs, not for each of the vocabulary.",
    "The gradient has the shape of the table: rows of tokens that do not occur are 0.",
)
def has_rows_for_tokens_that_occur(dx, tokens, vocab_size):
    return embedding_backward(dx, tokens, vocab_size)[np.unique(tokens)]


@embedding_backward.mistake(
    "Your function puts a gradient at the place of the next token.",
    "x[b, t] is the row of tokens[b, t], the token that is read. Targets are shifted, inputs are not.",
)
def puts_gradient_at_place_of_next_token(dx, tokens, vocab_size):
    return embedding_backward(dx, np.roll(tokens, -1, axis=1), vocab_size)


@embedding_backward.mistake(
    "Your result ends with the row of the largest token that occurs.",
    "The gradient has the shape of the table: vocab_size rows, whatever occurs (np.bincount takes minlength).",
)
def ends_with_largest_token(dx, tokens, vocab_size):
    return embedding_backward(dx, tokens, vocab_size)[: tokens.max() + 1]
