"""Supervised fine-tuning on conversations of a file, for a base model that has seen no instructions.

    {"messages": [{"role": "system", "content": "…"}, {"role": "user", …}, {"role": "assistant", …}, …]}    a line each

All answers are learned (sft.py). Conversations that the context does not hold are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....evaluation.preference.prompts import dialogue_of
from ....evaluation.preference.rows import read_rows
from ...conversations import Example, answers_learned, conversation_of
from ...models import ChatModel
from ...sft import SMOLLM2, FineTuning, passes_of
from ..pipeline import Context
from ..steps.shared import chat_model, last_row, seed_for, settings_of
from .pairs import PAIRS

KEPT_FILE = "conversations.jsonl"
_HELD_OUT = 64


def read_conversations(path: Path) -> list[tuple[dict[str, str], ...]]:
    """The conversations of a file.

    Raises
    ------
    ValueError
        With file and line, where a row has no messages, or they do not end with an answer. OSError when the file cannot
        be read.
    """
    found = []
    for row in read_rows(path):
        if "messages" not in row.values:
            row.fail(f"expected 'messages', a list of them, found {row.keys()}")
        try:
            dialogue = dialogue_of(row.values["messages"])
        except ValueError as error:
            row.fail(str(error))
        if dialogue[-1]["role"] != "assistant":
            row.fail(f"the last message should be the assistant's, found one of the {dialogue[-1]['role']}")
        found.append(dialogue)
    return found


def sft(context: Context) -> Mapping[str, Any]:
    """model/ is the base model, fine-tuned on the conversations."""
    settings = settings_of(context)
    given, model, seed = settings.sft, chat_model(context, PAIRS), seed_for(context, "conversations")
    kept = context.once(KEPT_FILE, lambda path: _copy(Path(settings.recipe.conversations), path))
    examples = _examples(kept, model)
    if not examples:
        raise ValueError(
            f"{settings.recipe.conversations}: none of its conversations fits into {model.config.max_seq_len} tokens"
        )
    order = np.random.default_rng(seed).permutation(len(examples))[: given.demonstrations]
    n_held_out = min(_HELD_OUT, len(order) // 10)
    held_out, learned = ([examples[i] for i in some] for some in (order[:n_held_out], order[n_held_out:]))
    tuning = replace(
        SMOLLM2,
        peak=given.peak,
        epochs=given.epochs,
        tokens=given.batch_tokens,
        weight_decay=given.weight_decay,
        seed=seed,
    )
    context.trained(FineTuning(model, passes_of(learned, tuning), tuning, held_out=held_out))
    return {"conversations": len(learned), **last_row(context, "validation_loss")}


def _copy(source: Path, path: Path) -> None:
    """The conversations of a file, packed or not, as lines that `read_conversations` reads."""
    lines = [json.dumps({"messages": list(dialogue)}, ensure_ascii=False) for dialogue in read_conversations(source)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _examples(path: Path, model: ChatModel) -> list[Example]:
    found = (conversation_of(dialogue, model.chat, model.tokenizer) for dialogue in read_conversations(path))
    return [answers_learned(one) for one in found if len(one.ids) <= model.config.max_seq_len]
