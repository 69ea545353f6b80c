"""How long a dialogue may be: what the context holds, what the weights have seen, and two ways to more.

A model has two lengths. `max_seq_len` is what it is run with; the trained length is that of the longest text that its
weights have learned from. RoPE turns queries and keys by their distance, and distances that were never seen give scores
that nobody trained: text falls apart beyond the trained length, with any instruction. Twenty turns need 700 to 900
tokens of the stories' models, whose pretraining ends at 512. Nats a token of stories3M on held-out stories, one after
the other in rows of 1,024, before any training at that length:

    positions                    0-255   256-511   512-767   768-1023
    as it is                     1.93    1.92      3.31      4.05
    rope_theta 40,000            2.00    2.00      2.13      1.96       `with_larger_theta`
    RoPE scaled, "yarn"          1.99    1.99      2.12      1.95       `with_scaled_rope`
    RoPE scaled, "linear"        2.28    2.27      2.42      2.22

**Train at the length** where there is training to come: `ChatModel.load(source, max_seq_len=1024)`, and texts of that
length among those of fine-tuning. LLaMA 2 went from 2048 to 4096 so. Short texts lose nothing.
**Raise rope_theta** before that (Xiong et al. 2023, arXiv:2309.16039), and no distance looks new from the first step
on: slow pairs turn less than they did in training. It is a number of every LLaMA 2, in every format; the price in short
texts is paid back by fine-tuning. Training at the length alone is slow: after 2.9 million tokens of conversations, a
seventh of them in rows of 1,024, the same stories cost 3.10, 3.07, 3.59 and 3.75 nats, and with rope_theta raised in
those very weights 3.11, 3.08, 3.27 and 2.98. Ghost Attention from there (107 dialogues, 48 steps) keeps 25 of 100
facts at turn 20 with the old base and 68 with the new one, and 62 and 81 of 100 endings (n = 40 and 17).
**Scale RoPE** for a model that is not to be trained: what comes out is a relative of LLaMA 2, which this package runs,
tests and converts, and does not train (`ModelConfig.beyond_llama2`). "yarn" leaves near tokens as they were, "linear"
changes all distances by the factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ...config import RopeScaling
from ...kv_cache import ContextFullError
from ...layers.rope_scaling import yarn_magnitude
from ..conversations import Example
from ..models import ChatModel


def check_fits(model: ChatModel, n_tokens: int, what: str) -> None:
    """Raise ContextFullError unless the context holds so many tokens."""
    if n_tokens > model.config.max_seq_len:
        raise ContextFullError(
            f"{what} takes {n_tokens} tokens, the context of this model holds {model.config.max_seq_len}: load it with "
            "a longer one and train it at that length, or ask for fewer turns"
        )


def length_notes(model: ChatModel, examples: Sequence[Example], trained_length: int | None) -> list[str]:
    """What a person should know of the length of examples before the first step.

    Parameters
    ----------
    trained_length : int or None
        Tokens of the longest text that the weights have learned from; None where that is not known.

    Raises
    ------
    ContextFullError
        When an example is longer than the context.
    """
    longest = max((len(example.ids) - 1 for example in examples), default=0)
    check_fits(model, longest, "the longest example")
    if trained_length is None:
        return [f"the longest example has {longest} tokens; whether the weights have seen as many is not known"]
    n = sum(len(example.ids) - 1 > trained_length for example in examples)
    if not n:
        return []
    return [
        f"{n} of {len(examples)} examples are longer than the {trained_length} tokens that the weights have learned "
        f"from, the longest has {longest}: positions beyond are learned here for the first time"
    ]


def with_scaled_rope(model: ChatModel, max_seq_len: int, kind: Literal["linear", "yarn"] = "yarn") -> ChatModel:
    """The same weights with RoPE slowed down for longer texts: to be run, not trained.

    Parameters
    ----------
    max_seq_len : int
        The new context; the model's own counts as the one that it was trained at.

    Raises
    ------
    ValueError
        When the new context is not longer, or RoPE is scaled already.
    """
    before = model.config
    if max_seq_len <= before.max_seq_len or before.rope_scaling is not None:
        raise ValueError(
            f"RoPE is scaled from the context that a model was trained at to a longer one: got {max_seq_len} for "
            f"{before.max_seq_len}{' with RoPE scaled already' if before.rope_scaling else ''}"
        )
    factor = max_seq_len / before.max_seq_len
    scaling = RopeScaling(
        kind=kind,
        factor=factor,
        original_max_seq_len=before.max_seq_len,
        attention_factor=yarn_magnitude(factor) if kind == "yarn" else 1.0,
    )
    return replace(model, config=replace(before, max_seq_len=max_seq_len, rope_scaling=scaling))


def with_larger_theta(model: ChatModel, max_seq_len: int, times: float = 4.0) -> ChatModel:
    """The same weights with a larger base of RoPE's frequencies, for longer texts: a LLaMA 2 still, to be trained.

    Parameters
    ----------
    max_seq_len : int
        The new context.
    times : float
        What rope_theta is multiplied by: 4 was measured for twice the length, 2 was too little.

    Raises
    ------
    ValueError
        When the new context is not longer, or `times` is not above 1.
    """
    if max_seq_len <= model.config.max_seq_len or times <= 1:
        raise ValueError(
            f"a larger rope_theta is for a longer context: got {max_seq_len} for {model.config.max_seq_len}, and "
            f"{times:g} times the base"
        )
    theta = times * model.config.rope_theta
    return replace(model, config=replace(model.config, max_seq_len=max_seq_len, rope_theta=theta))
