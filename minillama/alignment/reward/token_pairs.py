"""Comparisons as ids: what a reward model reads.

    chosen   = dialogue + preferred answer + its end        rejected = the same dialogue + the other answer + its end

Answers that a model sampled keep the ids that it sampled; others get those that the chat format gives for their text,
up to the token that ends an answer: that is where the score is read, of the ones and of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Float, Ints
from ...inference.chat import ChatTemplate
from ...tokenizers import Tokenizer
from ..conversations.spans import answered, up_to_end
from ..preferences.comparisons import Comparison
from .beginnings import n_common
from .objective import MARGINS, Pairs


class TokenPair(NamedTuple):
    """A comparison as ids.

    Attributes
    ----------
    chosen, rejected : integer ndarray of shape (T,)
    strength : int or None
        0 to 3; None, where nobody said, asks for no margin.
    safe : (float, float)
        Of the chosen and the rejected answer: 1 safe, 0 unsafe, NaN where nobody said.
    below : ndarray of shape (N, D), optional
        What frozen blocks made of its tokens (frozen.py).
    """

    chosen: Ints
    rejected: Ints
    strength: int | None = None
    safe: tuple[float, float] = (np.nan, np.nan)
    below: Float | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens that are computed: the common beginning once."""
        return len(self.chosen) + len(self.rejected) - n_common(self.chosen, self.rejected)


def token_pairs(
    comparisons: Iterable[Comparison],
    chat: ChatTemplate,
    tokenizer: Tokenizer,
    *,
    max_tokens: int | None = None,
    left_out: Callable[[Comparison], None] | None = None,
) -> list[TokenPair]:
    """Comparisons in a chat format.

    Parameters
    ----------
    max_tokens : int, optional
        Pairs with a longer row cannot be read: the context of the model.
    left_out : callable, optional
        Told of each of these, which is then left out; without it there is an error.

    Raises
    ------
    ValueError
        When a row is longer than `max_tokens`, or the format cannot hold a dialogue.
    """
    found = []
    for comparison in comparisons:
        pair = token_pair(comparison, chat, tokenizer)
        longest = max(len(pair.chosen), len(pair.rejected))
        if max_tokens is None or longest <= max_tokens:
            found.append(pair)
        elif left_out is None:
            raise ValueError(
                f"the comparison for prompt {comparison.prompt.id} has {longest} tokens, more than {max_tokens}: take "
                "a model with a longer context, or leave it out"
            )
        else:
            left_out(comparison)
    return found


def token_pair(comparison: Comparison, chat: ChatTemplate, tokenizer: Tokenizer) -> TokenPair:
    """One comparison."""
    dialogue = list(comparison.prompt.dialogue)
    prompt = chat.encode(dialogue, tokenizer)

    def ids_of(text: str, sampled: Sequence[int] | None) -> Ints:
        if sampled is not None:
            return answered(prompt, sampled).ids
        whole = chat.encode([*dialogue, {"role": "assistant", "content": text}], tokenizer, generation_prompt=False)
        if whole[: len(prompt)] != prompt:
            raise ValueError(
                f"the chat format {getattr(chat, 'name', type(chat).__name__)} encodes the prompt "
                f"{comparison.prompt.id} in another way once it has an answer: what the answers share cannot be said"
            )
        return np.array(up_to_end(whole, len(prompt), chat.stop_ids(tokenizer)), np.int64)

    safe = [np.nan if flag is None else float(flag) for flag in (comparison.chosen_safe, comparison.rejected_safe)]
    return TokenPair(
        ids_of(comparison.chosen, comparison.chosen_ids),
        ids_of(comparison.rejected, comparison.rejected_ids),
        comparison.strength,
        (safe[0], safe[1]),
    )


def batch_of(pairs: Sequence[TokenPair], margin: str = "none") -> Pairs:
    """Pairs side by side, each with the margin that a variant of MARGINS asks for at its strength."""
    below = [pair.below for pair in pairs]
    return Pairs(
        [pair.chosen for pair in pairs],
        [pair.rejected for pair in pairs],
        np.array([MARGINS[margin][pair.strength or 0] for pair in pairs]),
        np.array([pair.safe for pair in pairs]).reshape(-1, 2),
        [states for states in below if states is not None] if all(s is not None for s in below) else None,
    )


def laid_out(pair: TokenPair) -> tuple[tuple[Ints, Ints], int]:
    """A pair as `beginnings.together` takes it."""
    return (pair.chosen, pair.rejected), n_common(pair.chosen, pair.rejected)


def tokens_of(pairs: Sequence[TokenPair]) -> int:
    """Tokens that a pass over the pairs computes."""
    return sum(pair.n_tokens for pair in pairs)


def fingerprint(pairs: Sequence[TokenPair]) -> str:
    """A digest of ids, strengths and safety."""
    digest = hashlib.sha256()
    for pair in pairs:
        said = np.array([np.nan if pair.strength is None else pair.strength, *pair.safe], "<f8")
        for array in (pair.chosen, pair.rejected):
            digest.update(len(array).to_bytes(8, "little") + np.ascontiguousarray(array, "<i8").tobytes())
        digest.update(said.tobytes())
    return digest.hexdigest()
