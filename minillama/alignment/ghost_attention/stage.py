"""Ghost Attention as a stage: dialogues, what is learned of them, and fine-tuning, in one folder.

    FOLDER/dialogues.jsonl     what the latest model answered, as far as it obeyed
    FOLDER/training/           a run of fine-tuning (sft.py) on it, mixed with what must not be forgotten

Run it last and on the aligned policy: it learns from what that policy answers. What is not replayed is forgotten, and
a policy's own unchecked answers bring back what the safety stages have taken away, so `replay` takes the answers that
earlier stages kept. The paper fine-tunes as in SFT (section 3.3) and gives no numbers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...training.run_folder import RunFolder
from ...training.trainer import Observer, Outcome, train
from ..conversations import Example
from ..models import ChatModel
from ..sft import PAPER as PAPER_SFT
from ..sft import FineTuning, FineTuningSettings, passes_of
from .context import length_notes
from .examples import Learned, examples_of
from .scenes import Scene
from .synthesis import Ghost, Rule, Score, SynthesisSettings, obeys, synthesise


@dataclass(frozen=True, kw_only=True)
class GhostAttentionSettings:
    """What the paper says, unless told otherwise.

    Attributes
    ----------
    synthesis : SynthesisSettings
    fine_tuning : FineTuningSettings
    learned : "last" or "each"
        See examples.py.
    trained_length : int, optional
        Tokens of the longest text that the weights have learned from, for the notes; None: not known.
    """

    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    fine_tuning: FineTuningSettings = PAPER_SFT
    learned: Learned = "last"
    trained_length: int | None = None


PAPER = GhostAttentionSettings()
"""Instruction in every message, the last answer learned, and SFT's settings: 2e-5, two epochs, rows of 4096."""

STORY = GhostAttentionSettings(
    synthesis=SynthesisSettings(place="alone", temperature=0.6, max_tokens=48, tries=6),
    fine_tuning=FineTuningSettings(peak=4e-4, epochs=2, tokens=4096, checkpoint_every=20),
    learned="each",
)
"""For three million parameters and some hundred dialogues of 2 to 20 turns in 1,024 tokens.

"alone", because small talk does not refer back, and so small a model follows an instruction best where it was shown to:
in 1.3 draws an answer, where "current" takes 1.8 and loses a third of the turns. Some ten dialogues side by side in a
step, each from position 0 as in use; the rate is a third of SFT's, as the skill is small and everything else is to
stay. Steps and names are what it takes: with rope_theta raised (context.py), 48 steps on 107 dialogues gave 95 % recall
at turn 2, 72 at 10 and 68 at 20; 37 more on 239 dialogues 100, 88 and 75, and endings 100, 100 and 94 (n = 40 and 17,
traits of training). Names that no dialogue had stay behind: give it several hundred dialogues.
"""

SMOLLM2 = GhostAttentionSettings(
    synthesis=SynthesisSettings(place="current", temperature=0.7, top_p=0.95, max_tokens=96, at_once=8),
    fine_tuning=FineTuningSettings(peak=5e-5, epochs=2, tokens=2048, micro_batches=2, checkpoint_every=10),
    learned="each",
    trained_length=8192,
)
"""For 135 million parameters on a laptop: half the rate of its SFT; eight dialogues at once are a gigabyte of keys."""


class GhostAttention(FineTuning):
    """Fine-tuning on dialogues whose instruction stands in their first message alone, and on what is replayed.

    Parameters
    ----------
    model : ChatModel
        The latest one; not changed.
    ghosts : sequence of Ghost
    settings : GhostAttentionSettings
    replay : sequence of Example
        Examples of earlier stages, mixed in.
    """

    def __init__(
        self,
        model: ChatModel,
        ghosts: Sequence[Ghost],
        settings: GhostAttentionSettings,
        replay: Sequence[Example] = (),
    ) -> None:
        examples = examples_of(model, ghosts, settings.learned)
        source = passes_of([*examples, *replay], settings.fine_tuning)
        super().__init__(model, source, settings.fine_tuning, name="ghost_attention")
        values = {
            **self.settings.values,
            "learned": settings.learned,
            "dialogues": len(examples),
            "replayed": len(replay),
        }
        self.settings = replace(self.settings, values=values)
        longest = max((len(ghost.answers) for ghost in ghosts), default=0)
        self.notes = [
            f"{len(examples)} dialogues of up to {longest} turns, {sum(e.n_learned for e in examples)} tokens learned "
            f"of {sum(len(e.ids) for e in examples)}; {len(replay)} examples replayed",
            *length_notes(model, examples, settings.trained_length),
        ]


def run_ghost_attention(
    model: ChatModel,
    scenes: Sequence[Scene],
    folder: Path,
    observer: Observer,
    settings: GhostAttentionSettings = PAPER,
    *,
    replay: Sequence[Example] = (),
    rule: Rule = obeys,
    score: Score | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Outcome:
    """Answer the scenes and fine-tune on them, from the beginning or from where it was stopped.

    Parameters
    ----------
    folder : Path
        For both; `ChatModel.load(outcome.checkpoint)` opens what came of it.
    rule, score, progress
        See `synthesise`.
    **options
        Of `training.trainer.train`: threads, stop, resume_command.

    Raises
    ------
    ValueError
        When no dialogue obeyed for two turns, or the folder is of other scenes, settings or weights.
    """
    ghosts = synthesise(
        model, scenes, settings.synthesis, rule=rule, score=score, journal=folder / "dialogues.jsonl", progress=progress
    )
    if not ghosts:
        raise ValueError(
            f"none of {len(scenes)} dialogues obeyed its instruction for {settings.synthesis.least_turns} turns: "
            "the model must follow instructions that it sees before it can learn to remember them"
        )
    stage = GhostAttention(model, ghosts, settings, replay)
    return train(stage, RunFolder(folder / "training"), observer, resume=True, **options)
