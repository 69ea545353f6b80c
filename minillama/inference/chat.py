"""Chat formats: how a conversation becomes the ids that a chat model was trained on.

A chat model is a language model that has seen very many conversations written in one fixed way, and it
continues a text in that way with the next answer. One token off, a space or a line break, is another
way, and the answers get worse without any error. Each format here builds the ids turn by turn and puts
control tokens in by their ids. What a user wrote is always encoded as plain text, so nobody can end
their own turn, or forge one of the model's, by spelling "<|im_end|>".

    llama-2   <s>[INST] <<SYS>>⏎{system}⏎<</SYS>>⏎⏎{user} [/INST] {answer} </s><s>[INST] {user} [/INST]
    chatml    <|im_start|>system⏎{system}<|im_end|>⏎<|im_start|>user⏎{user}<|im_end|>⏎<|im_start|>assistant⏎
    zephyr    <|system|>⏎{system}</s>⏎<|user|>⏎{user}</s>⏎<|assistant|>⏎

**Continuing a conversation.** The ids of a prompt are the beginning of the ids of the same
conversation with the next answer and question, so a key-value cache can be kept and only the rest be
computed. Two things can end the common part early, and a caller therefore compares ids instead of
trusting this:

* The model may have written its answer in other tokens than `encode` finds for the same text. BPE makes
  one of many possible cuts, sampling any of them, and a string that is not UTF-8 is not restored at all.
* Spaces at the border. Llama 2's format strips an answer and sets one space on each side. In the other
  two an answer that begins with white space may merge with the line break before it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..tokenizers import Tokenizer

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One message of a conversation: who says what."""

    role: str
    content: str


class ChatTemplate(ABC):
    """The interface of the formats.

    Attributes
    ----------
    name : str
        By which `template_for` finds the format.
    """

    name: str

    def encode(
        self,
        messages: Sequence[Message | Mapping[str, str]],
        tokenizer: Tokenizer,
        *,
        generation_prompt: bool = True,
    ) -> list[int]:
        """The ids of a conversation.

        Parameters
        ----------
        messages : sequence of Message or mapping
            With "role" (system, user or assistant) and "content"; a system message comes first.
        tokenizer : Tokenizer
        generation_prompt : bool
            End with what the model writes its next answer after. False leaves that out, for training
            on a conversation that ends with an answer.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            When a message is malformed, the roles come in an order that the format cannot express, or
            the tokenizer lacks a token of the format.
        """
        conversation = _checked(messages)
        last = conversation[-1].role
        if generation_prompt and last == "assistant":
            raise ValueError("the last message is the assistant's: add the user's next message to have it answered")
        return self._encode(conversation, tokenizer, generation_prompt)

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The ids that end an answer."""
        return tokenizer.stop_ids

    @abstractmethod
    def _encode(self, messages: list[Message], tokenizer: Tokenizer, generation_prompt: bool) -> list[int]:
        """`encode` for messages that were checked."""


class Llama2Chat(ChatTemplate):
    """Llama 2-Chat (facebookresearch/llama, generation.py, `chat_completion`).

    Each pair of question and answer is encoded by itself, with its own BOS and EOS; the system message
    is folded into the first question. User and assistant alternate, and the user begins.

    The tags are ordinary text to the tokenizer, so a message that contains one could pass for another
    turn. Meta's code answers such a conversation with an error text in place of the model's answer; here
    `encode` raises ValueError.
    """

    name = "llama-2"
    begin, end = "[INST]", "[/INST]"
    begin_system, end_system = "<<SYS>>\n", "\n<</SYS>>\n\n"
    tags = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")

    def _encode(self, messages: list[Message], tokenizer: Tokenizer, generation_prompt: bool) -> list[int]:
        turns = self._turns(messages)
        ids: list[int] = []
        for question, answer in zip(turns[0::2], turns[1::2]):
            text = f"{self.begin} {question} {self.end} {answer} "
            ids += tokenizer.encode(text, bos=True, eos=True)
        if len(turns) % 2:
            ids += tokenizer.encode(f"{self.begin} {turns[-1]} {self.end}", bos=True)
        return ids

    def _turns(self, messages: list[Message]) -> list[str]:
        """The texts of user, assistant, user, … with the system message in the first."""
        for n, message in enumerate(messages):
            tag = next((tag for tag in self.tags if tag in message.content), None)
            if tag is not None:
                raise ValueError(
                    f"message {n} ({message.role}) contains {tag!r}, a tag of the chat format that the model "
                    "would take for the beginning or end of a turn: remove it"
                )
        texts = [message.content for message in messages]
        roles = [message.role for message in messages]
        if roles[0] == "system":
            if len(messages) == 1:
                raise ValueError("there is only a system message: add a user message")
            texts[1] = self.begin_system + texts[0] + self.end_system + texts[1]
            del texts[0], roles[0]
        for n, role in enumerate(roles):
            expected = ROLES[1 + n % 2]
            if role != expected:
                raise ValueError(
                    f"Llama 2's format takes user and assistant messages in turn: turn {n} should be the {expected}'s, "
                    f"it is the {role}'s"
                )
        return [text.strip() for text in texts]


class ChatML(ChatTemplate):
    """ChatML, the format of SmolLM2-Instruct: `<|im_start|>` and `<|im_end|>` are tokens.

    Parameters
    ----------
    default_system : str or None
        The system message of a conversation that has none; None adds none.
    """

    name = "chatml"
    begin, end = "<|im_start|>", "<|im_end|>"
    smollm2_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

    def __init__(self, default_system: str | None = smollm2_system) -> None:
        self.default_system = default_system

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The ids that end an answer: `<|im_end|>` and whatever else the tokenizer names."""
        return tokenizer.stop_ids | {self._token(tokenizer, self.end)}

    def _encode(self, messages: list[Message], tokenizer: Tokenizer, generation_prompt: bool) -> list[int]:
        begin, end = self._token(tokenizer, self.begin), self._token(tokenizer, self.end)
        if messages[0].role != "system" and self.default_system is not None:
            messages = [Message("system", self.default_system), *messages]
        line_break = tokenizer.encode("\n", bos=False)
        ids = _begin(tokenizer)
        for message in messages:
            text = f"{message.role}\n{message.content}"
            ids += [begin, *tokenizer.encode(text, bos=False), end, *line_break]
        if generation_prompt:
            ids += [begin, *tokenizer.encode("assistant\n", bos=False)]
        return ids

    def _token(self, tokenizer: Tokenizer, text: str) -> int:
        if text not in tokenizer.special_tokens:
            raise ValueError(f"the tokenizer has no {text} token, which ChatML needs: choose another format")
        return tokenizer.special_tokens[text]


class Zephyr(ChatTemplate):
    """The format of TinyLlama-1.1B-Chat and Zephyr: roles as text, each turn ended by the EOS token.

    The ids are those of the model's Jinja template, encoded as its model card does: with the BOS of the
    tokenizer in front. `<|user|>` is text, not a token, so a message can contain it; what it cannot
    contain is the EOS that ends a turn.
    """

    name = "zephyr"

    def _encode(self, messages: list[Message], tokenizer: Tokenizer, generation_prompt: bool) -> list[int]:
        if tokenizer.eos_id is None:
            raise ValueError("the tokenizer has no EOS token, which ends each turn of Zephyr's format")
        ids = _begin(tokenizer)
        line_break = ""  # the text between two EOS tokens is encoded in one go, as the model learned it
        for message in messages:
            text = f"{line_break}<|{message.role}|>\n{message.content}"
            ids += tokenizer.encode(text, bos=False, eos=True)
            line_break = "\n"
        last = "\n<|assistant|>\n" if generation_prompt else "\n"
        return ids + tokenizer.encode(last, bos=False)


# --- finding the format of a model ---------------------------------------------------------

TEMPLATES: dict[str, type[ChatTemplate]] = {kind.name: kind for kind in (Llama2Chat, ChatML, Zephyr)}


def template_for(tokenizer: Tokenizer, name: str | None = None) -> ChatTemplate:
    """The chat format of a model.

    Parameters
    ----------
    tokenizer : Tokenizer
        Its `chat_template` text is searched for the marks of the known formats; without a text, its
        special tokens.
    name : str, optional
        "llama-2", "chatml" or "zephyr", to choose instead of recognising.

    Raises
    ------
    ValueError
        When the name, or the format, is not known.
    """
    known = ", ".join(TEMPLATES)
    jinja = tokenizer.chat_template or ""
    if name is None:
        name = _recognise(jinja)
        if name is None and not jinja and ChatML.begin in tokenizer.special_tokens:
            name = ChatML.name
        if name is None:
            why = "is of another kind" if jinja else "is missing: this may be a base model, not one for chat"
            raise ValueError(f"the model's chat template {why}; choose one with --template (template=): {known}")
    if name not in TEMPLATES:
        raise ValueError(f"unknown chat format {name!r}: expected one of {known}")
    if name == ChatML.name and ChatML.begin in jinja:
        return ChatML(_default_system(jinja))
    return TEMPLATES[name]()


def _recognise(jinja: str) -> str | None:
    """The name of the format that a Jinja template writes."""
    if "<|im_start|>" in jinja and "<|im_end|>" in jinja:
        return ChatML.name
    if "[INST]" in jinja and "<<SYS>>" in jinja:
        return Llama2Chat.name
    if "<|user|>" in jinja and "<|assistant|>" in jinja and "eos_token" in jinja and "<|end|>" not in jinja:
        return Zephyr.name
    return None


def _default_system(jinja: str) -> str | None:
    """The system message that a ChatML template writes out itself, or None."""
    match = re.search(r"<\|im_start\|>system(?:\n|\\n)([^'\"{}<]+?)<\|im_end\|>", jinja)
    return match.group(1) if match else None


def _begin(tokenizer: Tokenizer) -> list[int]:
    return [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []


def _checked(messages: Sequence[Message | Mapping[str, str]]) -> list[Message]:
    """The messages as `Message`, with roles and contents that make sense."""
    if isinstance(messages, str | Mapping) or not messages:
        raise ValueError('expected a list of messages such as {"role": "user", "content": "Hello"}, with at least one')
    checked: list[Message] = []
    for n, entry in enumerate(messages):
        if isinstance(entry, Mapping):
            missing = [key for key in ("role", "content") if key not in entry]
            if missing:
                raise ValueError(f"message {n} has no {' and no '.join(map(repr, missing))}")
            message = Message(entry["role"], entry["content"])
        else:
            message = entry
        if not isinstance(message, Message) or not isinstance(message.content, str):
            raise ValueError(f"message {n} should have a role and a text as content, found {entry!r:.80}")
        if message.role not in ROLES:
            raise ValueError(f"message {n} has the role {message.role!r}: expected one of {', '.join(ROLES)}")
        if message.role == "system" and n > 0:
            raise ValueError(f"message {n} is a system message: only the first message can be one")
        checked.append(message)
    return checked
