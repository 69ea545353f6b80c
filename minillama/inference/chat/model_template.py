"""The format that a model brings with it: its Jinja template, which decides everything."""

from __future__ import annotations

import copy
import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...tokenizers import Tokenizer
from .formats import ChatML, ChatTemplate, Llama2Chat, Zephyr
from .messages import Message, plain_messages, texts_of
from .protection import Messages, Rendered, render_protected

# Put at the end of an answer that is to be continued, and cut off again with all that follows: transformers' own mark.
_CONTINUE = "CONTINUE_FINAL_MESSAGE_TAG "
_SAMPLE = "Seventeen."  # an answer by which `stop_ids` finds out what follows one

TEMPLATES: dict[str, type[ChatTemplate]] = {kind.name: kind for kind in (Llama2Chat, ChatML, Zephyr)}


class JinjaChat(ChatTemplate):
    """A Jinja template, rendered as `transformers` does; the ids are those of `apply_chat_template`.

    The whole text is tokenised with its special tokens read, except where a message spells one (`protection.py`). BOS
    is there if the template writes it. What the template refuses, or cannot render, is one ValueError.

    Parameters
    ----------
    source : str
        The template.
    """

    name = "jinja"

    def __init__(self, source: str) -> None:
        self.source = source

    def encode(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tokenizer: Tokenizer,
        *,
        generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> list[int]:
        """See `ChatTemplate.encode`; roles and further keys are those that the template knows."""
        from .rendering import literal_texts

        plain = plain_messages(messages)
        constants = literal_texts(self.source)
        self._refuse_tags(plain, tokenizer, constants)
        now = datetime.datetime.now()

        def text_of(conversation: Messages) -> str:
            if continue_final_message:
                return self._continued(conversation, tokenizer, now)
            return self._text(conversation, tokenizer, generation_prompt, now)

        try:
            rendered = render_protected(text_of, plain, tokenizer.special_tokens, constants)
        except ValueError as error:
            parts = any(isinstance(message.get("content"), list) for message in plain)
            about_parts = parts and any(word in str(error) for word in ("Parts", "parts", "list"))
            hint = "; it takes a content as one text, not as a list of parts" if about_parts else ""
            raise ValueError(f"{error}{hint}") from error
        ids = tokenizer.encode(rendered.text, bos=False, allow_special=True, plain=rendered.plain)
        _check_special(ids, rendered, tokenizer)
        return ids

    def text(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tokenizer: Tokenizer,
        *,
        continue_final_message: bool = False,
    ) -> str:
        """A conversation as text, up to where the answer begins; special tokens stand in it as they are spelled.

        Raises
        ------
        ValueError
            As `encode`.
        """
        plain, now = plain_messages(messages), datetime.datetime.now()
        if continue_final_message:
            return self._continued(plain, tokenizer, now)
        return self._text(plain, tokenizer, True, now)

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The ids that end an answer: the tokenizer's, and what the template writes directly after one."""
        conversation = [("user", "Count."), ("assistant", _SAMPLE), ("user", "Go on.")]
        messages = [{"role": role, "content": content} for role, content in conversation]
        try:
            text = self._text(messages, tokenizer, False, datetime.datetime.now())
        except ValueError:
            return tokenizer.stop_ids
        after = text.rpartition(_SAMPLE)[2].lstrip()
        ends = [token for token in tokenizer.special_tokens if after.startswith(token)]
        return tokenizer.stop_ids | ({tokenizer.special_tokens[max(ends, key=len)]} if ends else set())

    def _text(self, messages: Messages, tokenizer: Tokenizer, generation_prompt: bool, now: datetime.datetime) -> str:
        from .rendering import render

        variables = {
            **tokenizer.named_tokens,
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": generation_prompt,
        }
        return render(self.source, variables, now)

    def _continued(self, messages: Messages, tokenizer: Tokenizer, now: datetime.datetime) -> str:
        """The text up to the end of the last content, with the white space there if the template keeps it."""
        *before, final = messages
        content = final.get("content")
        if isinstance(content, list) and content:
            *others, last = content
            said = str(last["text"])
            marked: Any = type(content)([*others, type(last)({**last, "text": said + _CONTINUE})])
        elif isinstance(content, str):
            said, marked = content, content + _CONTINUE
        else:
            raise ValueError("the last message has no content that could be continued")
        text = self._text([*before, {**final, "content": marked}], tokenizer, False, now)
        at = text.rfind(_CONTINUE.strip())
        if at < 0 or said.strip() not in text:
            raise ValueError("the chat template does not show the last message as it is, so it cannot be continued")
        return text[:at] if text.startswith(_CONTINUE, at) else text[:at].rstrip()

    def _refuse_tags(self, messages: Messages, tokenizer: Tokenizer, constants: Sequence[str]) -> None:
        """Tags of LLaMA 2's format that are plain text to the tokenizer would pass for another turn."""
        tags = [tag for tag in Llama2Chat.tags if tag not in tokenizer.special_tokens]
        tags = [tag for tag in tags if any(tag in constant for constant in constants)]
        for n, message in enumerate(messages):
            Llama2Chat.refuse_tags(n, message["role"], texts_of(message), tags)


def _check_special(ids: Sequence[int], rendered: Rendered, tokenizer: Tokenizer) -> None:
    """No ids of special tokens but those that the template wrote; a tokenizer may have ways of its own to others."""
    written = Counter(tokenizer.special_tokens[text] for text in rendered.special(tokenizer.special_tokens))
    found = Counter(id_ for id_ in ids if tokenizer.is_special(id_) and id_ != tokenizer.unk_id)
    for id_ in found - written:
        raise ValueError(
            f"the tokenizer makes the special token {tokenizer.token_text(id_)!r} out of what a message says: "
            "take its spelling out of the messages"
        )


def template_for(tokenizer: Tokenizer, name: str | None = None) -> ChatTemplate:
    """The chat format of a model.

    Parameters
    ----------
    tokenizer : Tokenizer
        Its `chat_template` is used as it is.
    name : str, optional
        Another one of the model's templates by its name, or "llama-2", "chatml" or "zephyr" instead of them.

    Raises
    ------
    ValueError
        When the name is not known, or the model has no template and none is named.
    """
    known = [*tokenizer.named_templates, *(kind for kind in TEMPLATES if kind not in tokenizer.named_templates)]
    if name is None:
        if tokenizer.chat_template is not None:
            return JinjaChat(tokenizer.chat_template)
        why = "is missing: this may be a base model, not one for chat"
        if tokenizer.named_templates:
            why = "is not clear: it has several, and none is the default"
        raise ValueError(f"the model's chat template {why}; choose one with --template (template=): {', '.join(known)}")
    if name in tokenizer.named_templates:
        return JinjaChat(tokenizer.named_templates[name])
    if name not in TEMPLATES:
        raise ValueError(f"unknown chat format {name!r}: expected one of {', '.join(known)}")
    if name == ChatML.name:
        return ChatML(_default_system(tokenizer.chat_template or ""))
    return TEMPLATES[name]()


def recorded(chat: ChatTemplate, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the format as its chat template, which every file of it then says."""
    if tokenizer.chat_template == chat.source:
        return tokenizer
    other = copy.copy(tokenizer)
    other.chat_template = chat.source
    return other


def _default_system(jinja: str) -> str | None:
    """The system message that a ChatML template writes out itself, or None."""
    match = re.search(r"<\|im_start\|>system(?:\n|\\n)([^'\"{}<]+?)<\|im_end\|>", jinja)
    return match.group(1) if match else None
