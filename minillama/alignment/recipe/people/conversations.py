"""Supervised fine-tuning on conversations of a file, for a base model that has seen no instructions.

    {"messages": [{"role": "system", "content": "…"}, {"role": "user", …}, {"role": "assistant", …}, …]}    a line each

All answers are learned (sft.py). Conversations that the context does not hold are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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
    examples = _drawn(kept, model, given.demonstrations, seed, context.counting("conversations encoded"))
    if not examples:
        raise ValueError(
            f"{settings.recipe.conversations}: none of its conversations fits into {model.config.max_seq_len} tokens"
        )
    n_held_out = min(_HELD_OUT, len(examples) // 10)
    held_out, learned = examples[:n_held_out], examples[n_held_out:]
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


def _drawn(path: Path, model: ChatModel, most: int, seed: int, progress: Callable[[int, int], None]) -> list[Example]:
    """At most `most` conversations that the context holds, in an order of the seed; no more of them are encoded."""
    dialogues, found = read_conversations(path), list[Example]()
    for i in np.random.default_rng(seed).permutation(len(dialogues)).tolist():
        if len(found) == most:
            break
        try:
            one = conversation_of(dialogues[i], model.chat, model.tokenizer)
        except ValueError as error:
            raise ValueError(f"{path}, conversation {i + 1}: {error}; mend that line, or take it out") from None
        if len(one.ids) <= model.config.max_seq_len:
            found.append(answers_learned(one))
            progress(len(found), min(most, len(dialogues)))
    return found
