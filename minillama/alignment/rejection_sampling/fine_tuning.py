"""The fine-tuning of a round: "we fine-tune our model on these new samples, as in SFT" (LLaMA 2 section 3.2.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...training.trainer import Observer
from ..conversations import Example
from ..models import ChatModel
from ..sft import FineTuningSettings, fine_tune
from .rounds import FineTune

RUN = "run"
"""The folder of the run in that of the round."""


def tuned_from(start: ChatModel, settings: FineTuningSettings, observer: Observer, **options: Any) -> FineTune:
    """What `rejection_round` takes to fine-tune by: a run of its own for every round, each from the same model.

    Parameters
    ----------
    start : ChatModel
        The checkpoint of supervised fine-tuning.
    settings : FineTuningSettings
    observer : Observer
    **options
        Of `sft.fine_tune`.
    """

    def tune(examples: list[Example], folder: Path) -> ChatModel:
        outcome = fine_tune(start, examples, folder / RUN, observer, settings, **options)
        return ChatModel.load(outcome.checkpoint, None, max_seq_len=start.config.max_seq_len)

    return tune
