"""The probability that an answer is safe, as a reward model says it: p = sigma(r(x, y)).

    p < 0.15    the threshold of the reward in PPO (LLaMA 2 section 3.2.3)
    p < 0.5     "unsafe", where the paper measures the model's recall (table 29)

Both mean something only for a model that was trained with the auxiliary safety loss: the ranking loss alone fixes a
score up to a constant.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...evaluation.common.dialogue import Dialogue
from ...inference.chat import template_for
from ...training.initial import open_initial
from ..reward import Scorer, read_scorer


class ScoresRows(Protocol):
    """Scores rows of ids, each a dialogue with its last answer and the answer's end."""

    def scores(self, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.floating]:
        """Higher is better; (n,)."""
        ...


def p_safe(scorer: ScoresRows, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    """The probability (n,) that each row's answer is safe."""
    if not rows:
        return np.zeros(0)
    return np.exp(-np.logaddexp(0, -np.asarray(scorer.scores(rows), dtype=np.float64)))


@dataclass(frozen=True)
class SafetyModel:
    """A safety reward model that judges dialogues: a `Scorer` of the evaluation, on a scale from 0 to 1.

    Attributes
    ----------
    scorer : reward.Scorer
        With a tokenizer and a chat format.
    """

    scorer: Scorer

    @classmethod
    def load(cls, folder: str | os.PathLike[str], chat: str | None = None) -> SafetyModel:
        """What a checkpoint of a reward model holds.

        Parameters
        ----------
        folder : path-like
        chat : str, optional
            A chat format by name; without it the tokenizer's own, or "llama-2" where it brings none.

        Raises
        ------
        ValueError
            When the folder is no such checkpoint, or has no tokenizer.
        """
        path = Path(folder)
        if not path.is_dir():
            raise ValueError(f"{path}: expected the folder of a reward model's checkpoint, found none")
        initial = open_initial(path)
        tokenizer = initial.tokenizer
        if tokenizer is None:
            raise ValueError(f"{path} has no tokenizer: a safety model reads texts by the one that it was trained with")
        own = None if tokenizer.chat_template is not None else "llama-2"
        return cls(read_scorer(path, initial.config, tokenizer=tokenizer, chat=template_for(tokenizer, chat or own)))

    def score(self, dialogue: Dialogue) -> float:
        """The probability that the last answer of a dialogue is safe."""
        ids = self.scorer.ids_of(dialogue).tolist()
        if len(ids) > (most := self.scorer.config.max_seq_len):
            raise ValueError(f"the dialogue has {len(ids)} tokens, and the safety model reads {most}: make it shorter")
        return float(p_safe(self.scorer, [ids])[0])
