"""A chat model under training: plain float32 arrays with the tokenizer and the chat format that belong to them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...config import ModelConfig
from ...inference.chat import ChatTemplate, recorded, template_for
from ...inference.runner import Runner, runner_for
from ...params import Params
from ...tokenizers import Tokenizer
from ...training.initial import open_initial
from ...trees import digest_of_tree, map_tree


@dataclass(frozen=True)
class ChatModel:
    """What a stage starts from and ends with.

    Attributes
    ----------
    params : Params
        Plain float32 arrays.
    config : ModelConfig
    tokenizer : Tokenizer
        With the format as its chat template: what a stage saves says how to talk with it.
    chat : ChatTemplate
    """

    params: Params
    config: ModelConfig
    tokenizer: Tokenizer
    chat: ChatTemplate

    @classmethod
    def load(
        cls, source: str | os.PathLike[str], chat: str | None = "llama-2", *, max_seq_len: int | None = None
    ) -> ChatModel:
        """A checkpoint of a stage, a file, or the name of a known model.

        Parameters
        ----------
        chat : str or None
            The chat format by its name; None takes the one that the tokenizer brings.
        max_seq_len : int, optional
            In place of the model's, for training it on longer texts than it has seen.

        Raises
        ------
        ValueError
            When there is no such model, or it has no tokenizer or is no LLaMA 2. CheckpointError, one of them, when a
            file is damaged.
        """
        initial = open_initial(source)
        if initial.tokenizer is None:
            raise ValueError(f"{os.fspath(source)} brings no tokenizer: convert it to a format that has one")
        config = initial.config if max_seq_len is None else replace(initial.config, max_seq_len=max_seq_len)
        template = template_for(initial.tokenizer, chat)
        return cls(initial.trainable(), config, recorded(template, initial.tokenizer), template)

    def copied(self) -> ChatModel:
        """With arrays of its own."""
        return replace(self, params=map_tree(lambda array: array.copy(), self.params))

    def runner(self) -> Runner:
        """What samples from the weights as they are now; another is needed when they have changed."""
        return runner_for(self.params, self.config)

    @property
    def digest(self) -> str:
        """Of the weights as they are now: what a run that starts from them is bound to."""
        return digest_of_tree(self.params)

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        return self.chat.stop_ids(self.tokenizer)

    def encode(self, dialogue: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids that the next answer is written after."""
        return self.chat.encode(list(dialogue), self.tokenizer)

    def text_of(self, answer: Sequence[int]) -> str:
        """The text of an answer's ids, without its end and the spaces that the format sets around it."""
        ids = [i for i in answer if i not in self.stop_ids]
        return self.tokenizer.decode(ids).strip()
