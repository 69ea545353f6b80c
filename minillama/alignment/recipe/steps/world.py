"""What the steps take from the world that a recipe is about; a value, decided once (worlds.py).

    requests    what is asked in training, validation and test, and in what mixture
    verdicts    who compares answers, who says when PPO is to stop, which answers are known to be unsafe
    replay      what a model is not to forget
    scenes      instructions that are to hold, and talk between
    steps       what comes before the first reward models and beside them, and the report

story.py is the world of stories, in which a program knows all of that; people/ is that of people's pairs and real
weights, in which nobody does, and reward models take the place of the judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ...conversations import Example
from ...ghost_attention import GhostAttentionSettings, Scene
from ...models import ChatModel, Prompt
from ...ppo.run import Labelled
from ...ppo.validation import Judging
from ...rollouts import Answer
from ...sft import FineTuningSettings
from ..pipeline import Context, Step
from ..settings import RecipeSettings
from ..settings.tables import DistillationTable, RejectionTable
from .kept import Kept


class Beginning(NamedTuple):
    """Steps up to the fine-tuned model.

    Attributes
    ----------
    steps : list of Step
    shown : dict
        The steps whose models the report shows, by their names in its tables.
    first : str
        The step of the chat model that reward models and every round start from: the paper's SFT checkpoint.
    reads : tuple of str
        The steps that `requests`, `replay`, `scenes` and `judging` read; all are over when what `helped` makes is.
    """

    steps: list[Step]
    shown: dict[str, str]
    first: str
    reads: tuple[str, ...]


class World(Protocol):
    """Where requests come from, and who says what a good answer is.

    Attributes
    ----------
    pairs : str
        The step whose folder has the first pairs (preferences.py says in which files).
    preprompts : sequence of str
        What context distillation puts before adversarial requests.
    mix : mapping of str to float
        Shares of the kinds of requests that policies learn from by reward.
    validation_mix : mapping of str to float
        The same of those that PPO is stopped by.
    beside : mapping
        Shares of the kinds that are replayed, by the step that replays them: "distillation" (for each kept answer),
        "rejection", "ghost-attention".
    tuning : FineTuningSettings
        What recipe.toml leaves open of fine-tuning.
    ghost : GhostAttentionSettings
        The same of Ghost Attention.
    recompute : bool
        Whether PPO computes hidden states twice, to keep fewer: for a large model.
    tried_with : str
        What a person may ask the chat model first.
    """

    @property
    def pairs(self) -> str: ...
    @property
    def preprompts(self) -> Sequence[str]: ...
    @property
    def mix(self) -> Mapping[str, float]: ...
    @property
    def validation_mix(self) -> Mapping[str, float]: ...
    @property
    def beside(self) -> Mapping[str, Mapping[str, float]]: ...
    @property
    def tuning(self) -> FineTuningSettings: ...
    @property
    def ghost(self) -> GhostAttentionSettings: ...
    @property
    def recompute(self) -> bool: ...
    @property
    def tried_with(self) -> str: ...

    def check(self, settings: RecipeSettings) -> None:
        """Raise ValueError where a run with these settings cannot begin."""

    def beginning(self, settings: RecipeSettings) -> Beginning:
        """The steps before the first pairs are compared."""

    def compared(self, name: str, policy: str, requests: int) -> list[Step]:
        """What makes the pairs of a generation of reward models in a folder called `name`, of a policy's answers."""

    def helped(self, first: str, helpful: str, safety: str) -> list[Step]:
        """What is made with the first reward models, before anything is learned from them."""

    def requests(
        self, context: Context, what: str, n: int, mix: Mapping[str, float] | None = None, split: str = "train"
    ) -> list[Prompt]:
        """At most `n` requests of a split ("train", "validation", "test"), drawn by a seed of `what`."""

    def example(self, model: ChatModel, prompt: Prompt, answer: str) -> Example:
        """An answer of a model as something to learn from."""

    def is_right(self, prompt: Prompt, answer: Answer) -> bool:
        """Whether an answer has ended, and has all that was asked for, as far as a program can say."""

    def replay(
        self, context: Context, model: ChatModel, safe: str | None = None, own: Sequence[Kept] | None = None
    ) -> dict[str, list[Example]]:
        """Examples to replay, by kind; `safe` is the step that kept safe answers to adversarial requests, `own` are
        the model's own answers, in place of those that earlier steps kept."""

    def scenes(self, context: Context, model: ChatModel, seed: int) -> list[Scene]:
        """Dialogues for Ghost Attention, as many as the settings say; none where nothing can be asked for."""

    def judging(self, context: Context) -> Judging:
        """Who says when PPO is to stop."""

    def labelled(self, context: Context, generations: Sequence[str], model: ChatModel) -> Labelled:
        """Answers of held-out pairs, and whether they are unsafe: what the gate is checked on."""

    def report(
        self, context: Context, stages: Mapping[str, str], first: str, helpful: str, safety: str, pairs: Sequence[str]
    ) -> Mapping[str, Any]:
        """The last step: report.html and report.md."""


def tuning_of(
    world: World, settings: RecipeSettings, given: DistillationTable | RejectionTable, seed: int
) -> FineTuningSettings:
    """How a stage fine-tunes on what it has kept: passes and rate are its own, the size of a step is that of SFT."""
    return replace(
        world.tuning,
        peak=given.peak,
        final_fraction=0.1,
        epochs=given.epochs,
        tokens=settings.sft.batch_tokens,
        seed=seed,
    )
