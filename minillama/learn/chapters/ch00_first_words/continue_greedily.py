"""The loop that answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_table(rng: np.random.Generator, vocab_size: int, n_prompt: int, max_tokens: int, ends: int) -> tuple[Any, ...]:
    """Logits that lead through all tokens in a circle; the next token has equals above it, and almost one below.

    `ends` 1 ends half way, 2 also, at the id 0.
    """
    if vocab_size < 2 or n_prompt < 1:
        raise ValueError("two tokens and a prompt are the least")
    order = rng.permutation(vocab_size)
    if ends == 2:  # the prompt is followed by at most one round
        half = n_prompt + min(max_tokens, vocab_size) // 2
        order = np.roll(order, half - int(np.argmin(order)))
    table = rng.uniform(-3, 2, (vocab_size, vocab_size)).astype(np.float32)
    for here, following in zip(order, np.roll(order, -1)):
        table[here, following] = 2.5
        table[here, following + 1 :: 2] = 2.5
        table[here, :following][-1:] = np.nextafter(np.float32(2.5), np.float32(0))
    prompt = [int(i) for i in order[np.arange(n_prompt) % vocab_size]]
    path = greedy_ids(table, prompt, min(max_tokens, vocab_size), -1)
    return table, prompt, max_tokens, path[len(path) // 2] if ends else -1


def greedy_ids(table, prompt, max_tokens, end_id):
    last, ids = prompt[-1], []
    for _ in range(max_tokens):
        last = int(np.argmax(table[last]))
        if last == end_id:
            break
        ids.append(last)
    return ids


@exercise(
    title="The loop that answers",
    task="Take the most probable token, feed it back, and stop at the end token or after max_tokens.",
    difficulty=1,
    minutes=10,
    same_as=greedy_ids,
    make=make_table,
    shapes=(
        {"vocab_size": 3, "n_prompt": 1, "max_tokens": 1, "ends": 0},
        {"vocab_size": 4, "n_prompt": 2, "max_tokens": 3, "ends": 0},
        {"vocab_size": 7, "n_prompt": 3, "max_tokens": 6, "ends": 1},
        {"vocab_size": 11, "n_prompt": 1, "max_tokens": 9, "ends": 2},
        {"vocab_size": 16, "n_prompt": 5, "max_tokens": 40, "ends": 0},
        {"vocab_size": 5, "n_prompt": 3, "max_tokens": 0, "ends": 0},
    ),
    axes=("token",),
    exact=True,
    hints=(
        "Only the last token matters to this little model: its row of the table holds the logits of the next one.",
        "A loop of at most max_tokens rounds: look up the row of the last token, np.argmax of it, compare with "
        "end_id, append, and make it the last token.",
        "last, ids = prompt[-1], []\nfor _ in range(max_tokens):\n    last = int(np.argmax(table[last]))\n"
        "    if last == end_id: break\n    ids.append(last)",
    ),
    why=(
        "The model gives one token at a time, so a text is made by calling it again with what it has just said; that "
        "is all there is to writing. The test for the end stands before the append, because the end token is a signal "
        "to the program and no part of the answer. `np.argmax` returns the first of several equal numbers, which is "
        "the rule for ties."
    ),
)
def continue_greedily(table, prompt, max_tokens, end_id):
    """Continue a prompt with the most probable token, again and again.

    The "model" is a table: row i holds the logits of the token that follows token i. A Llama
    looks at the whole text instead of the last token; the loop is the same.

    Parameters
    ----------
    table : float32 ndarray of shape (vocab_size, vocab_size)
        Of equal logits, the lower id wins.
    prompt : list of int
    max_tokens : int
        At most so many new tokens; 0 is possible.
    end_id : int
        Stop when this is the most probable token; -1 is not a token.

    Returns
    -------
    ids : list of int
        The new tokens alone, without the end token.
    """
    last, ids = prompt[-1], []
    for _ in range(max_tokens):
        last = int(np.argmax(table[last]))
        if last == end_id:
            break
        ids.append(last)
    return ids


@continue_greedily.mistake(
    "Your function returns the prompt too.",
    "Only the new tokens are wanted: begin with an empty list and take prompt[-1] as the last token.",
)
def returns_prompt_too(table, prompt, max_tokens, end_id):
    return prompt + greedy_ids(table, prompt, max_tokens, end_id)


@continue_greedily.mistake(
    "Your function keeps the end token in its result.",
    "The end token is a signal, not a word: leave the loop before you append it.",
)
def greedy_with_end(table, prompt, max_tokens, end_id):
    ids = greedy_ids(table, prompt, max_tokens, end_id)
    return [*ids, end_id] if len(ids) < max_tokens else ids


@continue_greedily.mistake(
    "Your function goes on after the end token.",
    "A model that has said its end token has finished; whatever comes after it is noise. Compare with end_id.",
)
def goes_on_after_end_token(table, prompt, max_tokens, end_id):
    return greedy_ids(table, prompt, max_tokens, -1)


@continue_greedily.mistake(
    "Your function takes the last of several equal logits.",
    "Equal logits: the lower id wins, as np.argmax has it. `>=` in a loop of your own, or sorting, takes the "
    "other one.",
)
def greedy_last_tie(table, prompt, max_tokens, end_id):
    n = len(table)
    order = np.arange(n)[::-1]
    turned = greedy_ids(table[::-1, ::-1], [n - 1 - i for i in prompt], max_tokens, n - 1 - end_id)
    return [int(order[i]) for i in turned]


@continue_greedily.mistake(
    "Your function never feeds its tokens back: every step looks at the prompt alone.",
    "The token that was chosen is the last one of the next step.",
)
def greedy_never_fed(table, prompt, max_tokens, end_id):
    best = int(np.argmax(table[prompt[-1]]))
    return [] if best == end_id else [best] * max_tokens


@continue_greedily.mistake(
    "Your function begins with the first token of the prompt.",
    "The next token follows the last one: prompt[-1].",
)
def begins_with_first_token_of_prompt(table, prompt, max_tokens, end_id):
    return greedy_ids(table, prompt[:1], max_tokens, end_id)


@continue_greedily.mistake(
    "Your function takes the least probable token.",
    "The largest logit belongs to the most probable token: argmax.",
)
def takes_least_probable_token(table, prompt, max_tokens, end_id):
    return greedy_ids(-table, prompt, max_tokens, end_id)
