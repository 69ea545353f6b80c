"""The model that a run starts from when its settings say `init_from`: a path, or the name of a known model."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from ..checkpoints.loading import open_model
from ..config import ModelConfig
from ..data.shards.reading import tokenizer_fingerprint
from ..params import Params
from ..quantization.formats import to_float32
from ..tokenizers import Tokenizer
from ..trees import map_tree


@dataclass(frozen=True)
class Initial:
    """A model to start from.

    Attributes
    ----------
    source : str
        As it was named, for messages.
    config : ModelConfig
    params : Params
        In any precision, mapped from a file.
    tokenizer : Tokenizer or None
        None where its format carries none.
    """

    source: str
    config: ModelConfig
    params: Params
    tokenizer: Tokenizer | None

    def check(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        """Raise ValueError unless the model has the shape and the tokenizer of the run.

        `max_seq_len` may differ: no weight depends on it.
        """
        there, here = self.config.described(), config.described()
        del there["max_seq_len"]
        wrong = [
            f"{name} {value} there, {here.get(name, 'none')} here"
            for name, value in there.items()
            if value != here.get(name)
        ]
        if wrong:
            raise ValueError(
                f"[run] init_from {self.source} does not fit [model]: {'; '.join(wrong)}. "
                "Leave these numbers out of [model] to take those of that model"
            )
        if self.tokenizer is not None and tokenizer_fingerprint(self.tokenizer) != tokenizer_fingerprint(tokenizer):
            raise ValueError(
                f"[run] init_from {self.source} was trained with another tokenizer than [data] tokenizer: "
                "name the one that it brings along, and write the tokens of the data with it"
            )

    def trainable(self) -> Params:
        """Its weights as plain float32 arrays that may be changed."""
        return map_tree(lambda weight: np.array(to_float32(weight), np.float32), self.params)


def open_initial(source: str | os.PathLike[str]) -> Initial:
    """Find the model, fetching a known one that is not on this machine.

    Raises
    ------
    ValueError
        When there is no such model, or it has what LLaMA 2 does not have. CheckpointError, one of them, when a
        file is damaged.
    """
    checkpoint, tokenizer = open_model(source)
    if checkpoint.config.beyond_llama2:
        raise ValueError(
            f"[run] init_from {os.fspath(source)} has {' and '.join(checkpoint.config.beyond_llama2)}: it can be run "
            "and converted; training is that of a LLaMA 2"
        )
    return Initial(os.fspath(source), checkpoint.config, checkpoint.params, tokenizer)
