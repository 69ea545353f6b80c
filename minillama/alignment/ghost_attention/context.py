"""How long a dialogue may be: what the context holds, what the weights have seen, and two ways to more.

A model has two lengths. `max_seq_len` is what it is run with; the trained length is that of the longest text that its
weights have learned from. RoPE turns queries and keys by their distance, and distances that were never seen give scores
that nobody trained: text falls apart beyond the trained length, with any instruction. Twenty turns need 700 to 900
tokens of the stories' models, whose pretraining ends at 512.

Train at the length (`ChatModel.load(source, max_seq_len=1024)`, and fine-tuning with texts of that length): the model
stays a plain LLaMA 2, in every format and for every reader, and short texts are as good as before. This is what LLaMA 2
did from 2048 to 4096, and what the presets here do. A few hundred thousand tokens are enough, once it is known that
there is something to train with.

Scale RoPE (`with_scaled_rope`): no training is needed, but what comes out is a relative of LLaMA 2, which this package
runs, tests and converts and does not train (`ModelConfig.beyond_llama2`). For a model that cannot be trained, or to see
what scaling alone gives; "yarn" leaves near tokens as they were, "linear" changes all distances by the factor.
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
