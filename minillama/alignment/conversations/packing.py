"""Which conversations share a step: packed into rows of one length, or side by side with others of their length.

Packed (LLaMA 2 section 3.1: "we concatenate all the prompts and answers from the training set"):

    <s>[INST] a [/INST] b </s><s>[INST] c | [/INST] d </s><s>[INST] e [/INST] f …        one stream, cut into rows

No token of a row is padding. Attention is plainly causal, over the borders of conversations as well: that the paper
keeps them apart is unconfirmed. An answer that a cut divides goes on in the next row without its prompt.

Side by side, every answer sees its prompt, and a conversation begins at position 0, as it does in use. Rows of a step
are of like length, so that there is little padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .examples import Example


def packed(examples: Sequence[Example], length: int) -> list[Example]:
    """Examples one after the other in rows of `length` predictions; the last one may be shorter.

    A row has `length` + 1 ids: its first is the last of the row before, given there as a target and here to predict
    from. Every weight but that of the very first token is in exactly one row.

    Raises
    ------
    ValueError
        When there is nothing to pack, or `length` is below 1.
    """
    if length < 1 or not examples:
        raise ValueError(f"packing takes examples and a length of 1 or more, got {len(examples)} and {length}")
    ids = np.concatenate([example.ids for example in examples])
    weights = np.concatenate([example.weights for example in examples]).astype(np.float32)
    rows = []
    for start in range(0, max(1, len(ids) - 1), length):
        row = weights[start : start + length + 1].copy()
        row[0] = 0
        rows.append(Example(ids[start : start + length + 1], row))
    return rows


def side_by_side(examples: Sequence[Example], tokens: int, rng: np.random.Generator) -> list[list[Example]]:
    """All examples in batches of like length with about `tokens` tokens each, in an order of the generator.

    Examples of the same length lie beside others every time; a batch has as many as fit with the padding to its
    longest, and one at least.
    """
    order = rng.permutation(len(examples))
    lengths = np.array([len(examples[i].ids) for i in order])
    batches: list[list[Example]] = []
    longest = 0
    for i in order[np.argsort(-lengths, kind="stable")]:
        if not batches or (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = len(examples[i].ids)
        batches[-1].append(examples[i])
    return [batches[i] for i in rng.permutation(len(batches))]
