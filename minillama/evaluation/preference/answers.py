"""Answers of a system to every prompt: generated and kept one by one, or read from a file.

    FOLDER/answers/SYSTEM.jsonl     first the settings, then {"id": …, "answer": …, "seed": …, …} as answers end

An answer is drawn with the seed of its prompt's place, seed + n, as `llm.chat(dialogue, seed=seed + n)` draws it: what
was answered before an interrupt, or beside which others, changes nothing (to the last bit where the model multiplies
integers, to float32's rounding otherwise).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.journal import Journal, whole_lines
from ...files.lock import open_locked
from ...inference.batch import Batch, BatchRow
from ...inference.chat import template_for
from ...inference.generate import GeneratedSequence
from ...inference.sampling import Sampling
from ...inference.text import ends_of, generation_of
from ..engine.origin import model_hash
from .judges import hh_layout
from .prompts import Messages, Prompt
from .rows import Row, read_rows, rows_of_lines

if TYPE_CHECKING:
    from ...llm import LLM

HH_LAYOUT = "hh-rlhf"
_NEXT_TURN = "\n\nHuman:"
Progress = Callable[[int, int], None]
"""Called with the answers that are there and all that there will be."""


@dataclass(frozen=True)
class Answering:
    """How a system answers.

    Attributes
    ----------
    sampling : Sampling
    max_tokens : int
    seed : int
    system : str or None
        A system message before every dialogue.
    template : str or None
        A chat format by name, or "hh-rlhf" for that layout; the model's own by default.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))
    max_tokens: int = 512
    seed: int = 0
    system: str | None = None
    template: str | None = None


def answer_prompts(
    llm: LLM,
    prompts: Sequence[Prompt],
    path: str | Path,
    answering: Answering | None = None,
    *,
    max_rows: int = 16,
    progress: Progress | None = None,
) -> dict[str, str]:
    """The answers of a model to all prompts; those that the file has are not generated again.

    Parameters
    ----------
    llm : LLM
    prompts : sequence of Prompt
    path : path
        Each answer is on the disk as soon as it ends.
    answering : Answering, optional
    max_rows : int
        Answers under way at once; it bounds the memory.

    Returns
    -------
    {id of a prompt: answer}

    Raises
    ------
    ValueError
        When a prompt does not fit into the context, or the file was made with other settings.
    """
    path, answering = Path(path), answering or Answering()
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = _settings(llm, answering)
    with open_locked(path.with_suffix(".lock"), f"writes {path.name}"):
        known = _read_kept(path, settings)
        missing = [(n, prompt) for n, prompt in enumerate(prompts) if prompt.id not in known]
        if missing:
            with Journal(path) as journal:
                if not path.stat().st_size:
                    journal.append({"settings": settings})
                for row in _generated(llm, missing, answering, max_rows):
                    known[row["id"]] = row["answer"]
                    journal.append(row)
                    if progress is not None:
                        progress(sum(prompt.id in known for prompt in prompts), len(prompts))
    return {prompt.id: known[prompt.id] for prompt in prompts}


def read_answers(path: str | Path, prompts: Sequence[Prompt]) -> dict[str, str]:
    """Answers from a file of {"answer": …} (or "output", "text"), by the prompt's "id", or line by line without ids.

    Raises
    ------
    ValueError
        When a prompt has no answer, or the number of rows without ids is not that of the prompts.
    """
    rows = [row for row in read_rows(path) if "settings" not in row.values]
    if any("id" in row.values for row in rows):
        found = {str(row.values.get("id")): row.text("answer", "output", "text") for row in rows}
        if missing := [prompt.id for prompt in prompts if prompt.id not in found]:
            raise ValueError(
                f'{path} has no answer to {len(missing)} prompts, the first is {missing[0]}: an answer\'s "id" must be '
                "that of its prompt, in the file of prompts"
            )
        return {prompt.id: found[prompt.id] for prompt in prompts}
    if len(rows) < len(prompts):
        raise ValueError(f'{path} has {len(rows)} answers to {len(prompts)} prompts: give each the "id" of its prompt')
    return {prompt.id: row.text("answer", "output", "text") for prompt, row in zip(prompts, rows)}


def _generated(
    llm: LLM, missing: Sequence[tuple[int, Prompt]], answering: Answering, max_rows: int
) -> Iterable[dict[str, Any]]:
    """Answers in the order in which they end."""
    encoded, stop_ids = _encoded(llm, [prompt for _, prompt in missing], answering)
    batch = Batch(
        llm.runner,
        answering.sampling,
        max_tokens=answering.max_tokens,
        stop_ids=stop_ids,
        n_ids=llm.tokenizer.vocab_size,
        max_rows=max(1, min(max_rows, len(missing))),
    )
    rows = batch.add(encoded, [answering.seed + n for n, _ in missing])
    owners = {id(row): owner for row, owner in zip(rows, missing)}
    while batch:
        for row in batch.step():
            n, prompt = owners[id(row)]
            yield _answer(llm, row, prompt, answering, n)


def _answer(llm: LLM, row: BatchRow, prompt: Prompt, answering: Answering, n: int) -> dict[str, Any]:
    reason = row.finish_reason or "length"
    sequence = GeneratedSequence(row.ids, row.logprobs, row.sampled_logprobs, reason)
    goes_on = answering.template == HH_LAYOUT  # a text, where a chat's answer begins anew
    before = row.prompt if goes_on else ()
    text = generation_of(sequence, before, llm.tokenizer, keep_stop=False).text
    if goes_on:
        text, found, _ = text.partition(_NEXT_TURN)
        text, reason = text.strip(), "stop" if found else reason
    return {
        "id": prompt.id,
        "answer": text,
        "seed": answering.seed + n,
        "n_tokens": len(row.ids),
        "finish_reason": reason,
    }


def _encoded(llm: LLM, prompts: Sequence[Prompt], answering: Answering) -> tuple[list[list[int]], frozenset[int]]:
    """The ids of all dialogues, each of which leaves room for an answer, and those that end one."""
    dialogues = [_with_system(prompt, answering.system) for prompt in prompts]
    tokenizer = llm.tokenizer
    if answering.template == HH_LAYOUT:
        encoded = [llm.encode_prompt(hh_layout(dialogue) + "\n\nAssistant:") for dialogue in dialogues]
        stop_ids = llm.stop_ids | ends_of(tokenizer)
    else:
        chat = template_for(tokenizer, answering.template)
        encoded = [chat.encode(list(dialogue), tokenizer) for dialogue in dialogues]
        stop_ids = llm.stop_ids | chat.stop_ids(tokenizer)
    room = llm.config.max_seq_len
    for prompt, ids in zip(prompts, encoded):
        if len(ids) >= room:
            raise ValueError(
                f"the prompt {prompt.id} has {len(ids)} tokens and the context {room}: no room is left for an answer; "
                "take it out of the prompts"
            )
    return encoded, stop_ids


def _with_system(prompt: Prompt, system: str | None) -> Messages:
    if system is None:
        return prompt.dialogue
    if prompt.dialogue[0]["role"] == "system":
        raise ValueError(f"the prompt {prompt.id} has a system message of its own beside the one that was given")
    return ({"role": "system", "content": system}, *prompt.dialogue)


def _settings(llm: LLM, answering: Answering) -> dict[str, Any]:
    return {"model": Path(llm.name).name, "weights": model_hash(llm), **asdict(answering)}


def _read_kept(path: Path, settings: dict[str, Any]) -> dict[str, str]:
    """What the file has, but for an answer cut short by a crash."""
    rows = rows_of_lines(whole_lines(path).decode(), path)
    if not rows:
        return {}
    if rows[0].values.get("settings") != json.loads(json.dumps(settings)):
        raise ValueError(f"{path} holds answers with other settings: {_difference(rows[0], settings)}")
    return {str(row.values.get("id")): row.text("answer") for row in rows[1:]}


def _difference(row: Row, settings: dict[str, Any]) -> str:
    kept = row.values.get("settings")
    kept = kept if isinstance(kept, dict) else {}
    differing = [key for key, value in settings.items() if kept.get(key) != json.loads(json.dumps(value))]
    shown = [f"{key} {kept.get(key)!r:.60} there, {settings[key]!r:.60} here" for key in differing]
    return f"{'; '.join(shown) or 'its first line is no settings'}; choose another folder or name"
