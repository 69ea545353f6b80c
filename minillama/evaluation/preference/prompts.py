"""What is answered: prompts and beginnings of dialogues, from a file.

A row of the file is one of

    {"prompt": "How do birds sleep?"}                                        one turn
    {"prompt": "\\n\\nHuman: Hi!\\n\\nAssistant: Hello.\\n\\nHuman: …\\n\\nAssistant:"}    the layout of hh-rlhf
    {"messages": [{"role": "user", "content": "…"}, …]}                      several turns, maybe a system message

and may carry an "id" of its own. The last message is the user's: what comes after it is judged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rows import Row, read_rows

Messages = tuple[dict[str, str], ...]
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True)
class Prompt:
    """A dialogue that waits for an answer.

    Attributes
    ----------
    id : str
        The row's own, or a hash of the dialogue; no two of a set are the same.
    dialogue : tuple of messages
        The last is the user's.
    """

    id: str
    dialogue: Messages


def read_prompts(path: str | Path, limit: int | None = None) -> list[Prompt]:
    """The prompts of a file, in its order; the first `limit` of them.

    Raises
    ------
    ValueError
        With file and line, when a row is none of the above.
    """
    rows = read_rows(path)[:limit]
    return with_ids((prompt_of(row), row) for row in rows)


def prompt_of(row: Row) -> Messages:
    """The dialogue of a row."""
    keys = [key for key in ("prompt", "messages", "dialogue") if key in row.values]
    if len(keys) != 1:
        row.fail(f'expected one of "prompt", "messages" or "dialogue", found {row.keys()}')
    value = row.values[keys[0]]
    try:
        dialogue = dialogue_of(value)
    except ValueError as error:
        row.fail(str(error))
    if dialogue[-1]["role"] != "user":
        row.fail(f"the last message should be the user's, found one of the {dialogue[-1]['role']}")
    return dialogue


def dialogue_of(value: Any) -> Messages:
    """Messages from a text, from hh-rlhf's layout or from a list of messages.

    In hh-rlhf's layout a last "Assistant:" with nothing after it is where the answer goes, and no message.

    Raises
    ------
    ValueError
        When it is none of them, or has no message.
    """
    if isinstance(value, str):
        if _TURN.match(value):
            return _of_turns(value)
        if not value.strip():
            raise ValueError("the prompt is empty")
        return ({"role": "user", "content": value},)
    if not isinstance(value, list) or not value:
        raise ValueError("expected a text or a list of messages, with at least one")
    return tuple(_message(n, message) for n, message in enumerate(value))


def with_ids(found: Iterable[tuple[Messages, Row]]) -> list[Prompt]:
    """Prompts with an id each: the row's "id", or a hash of the dialogue, numbered where it comes again."""
    prompts, seen = [], Counter[str]()
    for dialogue, row in found:
        own = row.values.get("id")
        if own is not None and not isinstance(own, str | int):
            row.fail(f'"id" should be a text or a whole number, found {json.dumps(own)[:60]}')
        name = content_id(dialogue) if own is None else str(own)
        seen[name] += 1
        if own is not None and seen[name] > 1:
            row.fail(f"the id {name!r:.60} is there twice")
        prompts.append(Prompt(name if seen[name] == 1 else f"{name}-{seen[name]}", dialogue))
    return prompts


def content_id(content: Any) -> str:
    """A name made of what something holds: the same content has the same on every machine."""
    text = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_turns(text: str) -> Messages:
    """hh-rlhf's turns; two in a row by the same speaker are one with an empty line in it."""
    _, *pieces = _TURN.split(text)
    messages: list[dict[str, str]] = []
    for name, said in zip(pieces[::2], pieces[1::2]):
        role, content = _ROLES[name], said.strip()
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] = f"{messages[-1]['content']}\n\n{content}".strip()
        else:
            messages.append({"role": role, "content": content})
    if messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()
    if not messages or messages[0]["role"] != "user":
        raise ValueError('the dialogue should begin with "\\n\\nHuman:"')
    return tuple(messages)


def _message(n: int, message: Any) -> dict[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        raise ValueError(f"message {n} should have a role and a text as content, found {json.dumps(message)[:60]}")
    role = message.get("role")
    if role not in ("system", "user", "assistant") or (role == "system" and n > 0):
        raise ValueError(f"message {n} should be of the user or the assistant (or the system, first), found {role!r}")
    return {"role": role, "content": message["content"]}
