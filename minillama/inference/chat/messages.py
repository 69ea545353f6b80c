"""Messages of a conversation, checked at the door: what a client sends becomes plain data.

A template sees texts, numbers, lists and mappings, nothing with methods of its own. A content is one text or a list
of text parts. Templates that do not know parts would print such a list as Python writes it; here that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

ROLES = ("system", "user", "assistant")
# Names under which clients send what a model thought before its answer; templates read the first, gpt-oss's the second.
_REASONING = ("reasoning_content", "thinking", "reasoning")
# Keys that say what a message or a part is; what a person wrote is never under them.
KINDS = frozenset({"role", "type"})
_MAX_DEPTH = 50  # of lists and mappings in one another


@dataclass(frozen=True)
class Message:
    """One message of a conversation: who says what, as a text or a list of parts `{"type": "text", "text": …}`."""

    role: str
    content: str | Sequence[Mapping[str, Any]]

    @property
    def text(self) -> str:
        """The content of a message that was checked to be one text."""
        return str(self.content)


class Part(dict[str, Any]):
    """A part of a content, which is never shown as Python writes a dict."""

    def __repr__(self) -> NoReturn:
        raise ValueError("a list of parts is no text")

    __str__ = __repr__


class Parts(list[Part]):
    """A content in parts, which is never shown as Python writes a list."""

    __repr__ = __str__ = Part.__repr__


def spoken_messages(messages: Sequence[Message | Mapping[str, Any]]) -> list[Message]:
    """The messages for a format with three roles: texts, a system message only at the beginning.

    Raises
    ------
    ValueError
        When there is no message, or one has not a known role and a text.
    """
    checked: list[Message] = []
    for n, message in enumerate(_entries(messages)):
        missing = [key for key in ("role", "content") if key not in message]
        if missing:
            raise ValueError(f"message {n} has no {' and no '.join(map(repr, missing))}")
        role, content = message["role"], message["content"]
        if not isinstance(content, str):
            raise ValueError(f"message {n} should have a role and a text as content, found {message!r:.80}")
        if role not in ROLES:
            raise ValueError(f"message {n} has the role {role!r}: expected one of {', '.join(ROLES)}")
        if role == "system" and n > 0:
            raise ValueError(f"message {n} is a system message: only the first message can be one")
        checked.append(Message(role, content))
    return checked


def plain_messages(messages: Sequence[Message | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages for a Jinja template: any role, any further keys, everything copied as plain data.

    Keys that are None are left out, and reasoning is found under each of its names, as `transformers` does.

    Raises
    ------
    ValueError
        When there is no message, one has no role or nothing to say, or a part of a content is not text.
    """
    plain = []
    for n, message in enumerate(_entries(messages)):
        kept = {key: value for key, value in message.items() if value is not None}
        if not isinstance(kept.get("role"), str):
            raise ValueError(f"message {n} has no 'role', or one that is not a text")
        if "content" in kept:
            kept["content"] = _content(kept["content"], n)
        elif not any(key in kept for key in ("tool_calls", *_REASONING)):
            raise ValueError(f"message {n} has no 'content'")
        content = {"content": kept["content"]} if "content" in kept else {}
        copy = {key: content.get(key, value) for key, value in _plain(kept, n).items()}
        reasoning = next((copy[key] for key in _REASONING if key in copy), None)
        if reasoning is not None:
            copy = {"thinking": reasoning, **copy, "reasoning_content": reasoning}
        plain.append(copy)
    return plain


def texts_of(value: Any) -> Iterator[str]:
    """Every text in plain data, keys of mappings included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for entry in value.values():
            yield from texts_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts_of(entry)


def _entries(messages: Sequence[Message | Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not isinstance(messages, list | tuple) or not messages:
        raise ValueError('expected a list of messages such as {"role": "user", "content": "Hello"}, with at least one')
    entries: list[Mapping[str, Any]] = []
    for n, message in enumerate(messages):
        if isinstance(message, Message):
            message = {"role": message.role, "content": message.content}
        if not isinstance(message, Mapping):
            raise ValueError(f"message {n} should have a role and a text as content, found {message!r:.80}")
        entries.append(message)
    return entries


def _content(content: Any, n: int) -> str | Parts:
    if isinstance(content, str):
        return str(content)
    if not isinstance(content, list | tuple):
        raise ValueError(f"message {n} should have a role and a text as content, found {content!r:.80}")
    parts = Parts()
    for part in content:
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text":
            raise ValueError(f"message {n} has a part of type {kind!r}: only parts of text can be read")
        if not isinstance(part.get("text"), str):
            raise ValueError(f"message {n} has a part without a 'text'")
        parts.append(Part(_plain(part, n)))
    return parts


def _plain(value: Any, n: int, depth: int = 0) -> Any:
    """A copy made of texts, numbers, lists and dicts alone: nothing else reaches a template."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"message {n} is nested more than {_MAX_DEPTH} deep")
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        keys = {key: str.__str__(key) if isinstance(key, str) else _not_plain(key, n) for key in value}
        return {keys[key]: _plain(entry, n, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, n, depth + 1) for entry in value]
    return _not_plain(value, n)


def _not_plain(value: Any, n: int) -> NoReturn:
    raise ValueError(
        f"message {n} holds a {type(value).__name__}: expected texts, numbers, lists and mappings of texts"
    )
