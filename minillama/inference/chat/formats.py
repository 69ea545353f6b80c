"""Three chat formats, written out: LLaMA 2's, ChatML and Zephyr's.

A chat model is a language model that has seen very many conversations written in one fixed way, and it
continues a text in that way with the next answer. One token off, a space or a line break, is another
way, and the answers get worse without any error. Each format here builds the ids turn by turn and puts
control tokens in by their ids. What a user wrote is always encoded as plain text, so nobody can end
their own turn, or forge one of the model's, by spelling "<|im_end|>".

    llama-2   <s>[INST] <<SYS>>⏎{system}⏎<</SYS>>⏎⏎{user} [/INST] {answer} </s><s>[INST] {user} [/INST]
    chatml    <|im_start|>system⏎{system}<|im_end|>⏎<|im_start|>user⏎{user}<|im_end|>⏎<|im_start|>assistant⏎
    zephyr    <|system|>⏎{system}</s>⏎<|user|>⏎{user}</s>⏎<|assistant|>⏎

A model brings its format with it as a Jinja template, which is what runs (`model_template.py`); these are the same to
be read, and for models that bring none. Tests hold them equal to the templates of LLaMA 2-Chat, SmolLM2 and TinyLlama.

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

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...tokenizers import Tokenizer
from . import published
from .messages import ROLES, Message, spoken_messages


class ChatTemplate(ABC):
    """The interface of the formats.

    Attributes
    ----------
    name : str
        By which `template_for` finds the format.
    source : str
        The same as a Jinja template.
    """

    name: str
    source: str

    @abstractmethod
    def encode(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tokenizer: Tokenizer,
        *,
        generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> list[int]:
        """The ids of a conversation.

        Parameters
        ----------
        messages : sequence of Message or mapping
            With "role" and "content", a text or a list of parts `{"type": "text", "text": …}`.
        tokenizer : Tokenizer
        generation_prompt : bool
            End with what the model writes its next answer after. False leaves that out, for training
            on a conversation that ends with an answer.
        continue_final_message : bool
            End with the last message, open, for the model to go on writing it; there is no generation prompt then.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            When a message is malformed, the format cannot express the conversation, or the tokenizer lacks
            a token of the format.
        """

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The ids that end an answer."""
        return tokenizer.stop_ids


class WrittenFormat(ChatTemplate):
    """A format written out here: three roles, each content one text, a system message only at the beginning."""

    def encode(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tokenizer: Tokenizer,
        *,
        generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> list[int]:
        conversation = spoken_messages(messages)
        last = conversation[-1].role
        if continue_final_message:
            if last != "assistant":
                raise ValueError(f"only an answer can be continued, and the last message is the {last}'s")
        elif generation_prompt and last == "assistant":
            raise ValueError(
                "the last message is the assistant's: add the user's next message to have it answered, or pass "
                "continue_final_message=True to have the answer continued"
            )
        return self._encode(conversation, tokenizer, generation_prompt, continue_final_message)

    @abstractmethod
    def _encode(self, messages: list[Message], tokenizer: Tokenizer, prompt: bool, unfinished: bool) -> list[int]:
        """`encode` for messages that were checked; the last one has no end if it is `unfinished`."""


class Llama2Chat(WrittenFormat):
    """Llama 2-Chat (facebookresearch/llama, generation.py, `chat_completion`).

    Each pair of question and answer is encoded by itself, with its own BOS and EOS; the system message
    is folded into the first question. User and assistant alternate, and the user begins.

    The tags are ordinary text to the tokenizer, so a message that contains one could pass for another
    turn. Meta's code answers such a conversation with an error text in place of the model's answer; here
    `encode` raises ValueError.
    """

    name, source = "llama-2", published.LLAMA_2
    begin, end = "[INST]", "[/INST]"
    begin_system, end_system = "<<SYS>>\n", "\n<</SYS>>\n\n"
    tags = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")

    def _encode(self, messages: list[Message], tokenizer: Tokenizer, prompt: bool, unfinished: bool) -> list[int]:
        turns = self._turns(messages)
        ids: list[int] = []
        for n in range(0, len(turns) - 1, 2):
            text = f"{self.begin} {turns[n]} {self.end} {turns[n + 1]}"
            if unfinished and n == len(turns) - 2:
                return ids + tokenizer.encode(text, bos=True)
            ids += tokenizer.encode(text + " ", bos=True, eos=True)
        if len(turns) % 2:
            ids += tokenizer.encode(f"{self.begin} {turns[-1]} {self.end}", bos=True)
        return ids

    @staticmethod
    def refuse_tags(n: int, role: str, texts: Iterable[str], tags: Iterable[str] = tags) -> None:
        """Raise ValueError when a text of message `n` contains a tag."""
        found = next((tag for text in texts for tag in tags if tag in text), None)
        if found is not None:
            raise ValueError(
                f"message {n} ({role}) contains {found!r}, a tag of the chat format that the model "
                "would take for the beginning or end of a turn: remove it"
            )

    def _turns(self, messages: list[Message]) -> list[str]:
        """The texts of user, assistant, user, … with the system message in the first."""
        for n, message in enumerate(messages):
            self.refuse_tags(n, message.role, [message.text])
        texts = [message.text for message in messages]
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


class ChatML(WrittenFormat):
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
        self.default_system, self.source = default_system, published.chatml(default_system)

    def stop_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The ids that end an answer: `<|im_end|>` and whatever else the tokenizer names."""
        return tokenizer.stop_ids | {self._token(tokenizer, self.end)}

    def _encode(self, messages: list[Message], tokenizer: Tokenizer, prompt: bool, unfinished: bool) -> list[int]:
        begin, end = self._token(tokenizer, self.begin), self._token(tokenizer, self.end)
        if messages[0].role != "system" and self.default_system is not None:
            messages = [Message("system", self.default_system), *messages]
        line_break = tokenizer.encode("\n", bos=False)
        ids: list[int] = []
        for message in messages:
            ids += [begin, *tokenizer.encode(f"{message.role}\n{message.text}", bos=False), end, *line_break]
        if unfinished:
            return ids[: -1 - len(line_break)]
        return [*ids, begin, *tokenizer.encode("assistant\n", bos=False)] if prompt else ids

    def _token(self, tokenizer: Tokenizer, text: str) -> int:
        if text not in tokenizer.special_tokens:
            raise ValueError(f"the tokenizer has no {text} token, which ChatML needs: choose another format")
        return tokenizer.special_tokens[text]


class Zephyr(WrittenFormat):
    """The format of TinyLlama-1.1B-Chat and Zephyr: roles as text, each turn ended by the EOS token.

    There is no BOS: the template writes none. `<|user|>` is text, not a token, so a message can contain it; what
    it cannot contain is the EOS that ends a turn.
    """

    name, source = "zephyr", published.ZEPHYR

    def _encode(self, messages: list[Message], tokenizer: Tokenizer, prompt: bool, unfinished: bool) -> list[int]:
        if tokenizer.eos_id is None:
            raise ValueError("the tokenizer has no EOS token, which ends each turn of Zephyr's format")
        ids: list[int] = []
        line_break = ""  # the text between two EOS tokens is encoded in one go, as the model learned it
        for message in messages:
            text = f"{line_break}<|{message.role}|>\n{message.text}"
            ids += tokenizer.encode(text, bos=False, eos=True)
            line_break = "\n"
        if unfinished:
            return ids[:-1]
        return ids + tokenizer.encode("\n<|assistant|>\n" if prompt else "\n", bos=False)
