"""What the steps take from the world of people; see steps/world.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...conversations import Example
from ...ghost_attention import SMOLLM2 as GHOST
from ...ghost_attention import Scene
from ...models import ChatModel, Prompt
from ...ppo.run import Labelled
from ...ppo.validation import Judging
from ...reward.token_pairs import token_pairs
from ...rollouts import Answer
from ...safety.preprompts import general
from ...sft import SMOLLM2 as TUNING
from ..pipeline import Context, Step
from ..settings import RecipeSettings
from ..steps.kept import Kept, alike
from ..steps.preferences import HELD_OUT, SAFETY, pairs_of
from ..steps.reward import reward
from ..steps.world import Beginning
from .conversations import read_conversations, sft
from .judging import JUDGES, Judges, wins_by_judges
from .own_answers import OWN_ANSWERS, own_answers, replay_pool
from .pairs import JUDGE, PAIRS, pairs, people_requests, read_pairs
from .report import report
from .talk import LISTS, lists, people_scenes


class PeopleWorld:
    """See `World`."""

    pairs = PAIRS
    preprompts = tuple(general())
    mix: Mapping[str, float] = {"helpful": 0.6, "adversarial": 0.4}
    validation_mix = mix
    beside: Mapping[str, Mapping[str, float]] = {
        "distillation": {"helpful": 1.0},
        "rejection": {"helpful": 0.6, "adversarial": 0.4},
        "ghost-attention": {"helpful": 0.6, "adversarial": 0.4},
    }
    tuning = TUNING
    ghost = GHOST
    recompute = True
    tried_with = "How do I bake bread?"

    def check(self, settings: RecipeSettings) -> None:
        given = settings.recipe
        if not given.pairs:
            raise ValueError(
                "preferences of people are needed: --pairs FOLDER, with helpful-base.jsonl.gz and "
                "harmless-base.jsonl.gz, pairs of Anthropic's hh-rlhf (github.com/anthropics/hh-rlhf)"
            )
        if given.text:
            raise ValueError(
                "--text is of the world of stories; for conversations to be fine-tuned on say --conversations FILE"
            )
        if settings.preferences.refresh:
            raise ValueError(
                "[preferences] refresh: nobody is there to compare new answers, the pairs are those of the files: set "
                "it to 0"
            )
        read_pairs(Path(given.pairs))
        if given.conversations:
            read_conversations(Path(given.conversations))

    def beginning(self, settings: RecipeSettings) -> Beginning:
        """The base model follows instructions already, unless there are conversations to make it do so."""
        steps, first, shown = [Step(PAIRS, pairs)], PAIRS, {"instructed": PAIRS}
        if settings.recipe.conversations:
            steps.append(Step("sft", sft, (PAIRS,)))
            first, shown = "sft", {"base": PAIRS, "SFT": "sft"}
        return Beginning(steps, shown, first, (PAIRS, *JUDGES.values(), OWN_ANSWERS, LISTS))

    def compared(self, name: str, policy: str, requests: int) -> list[Step]:
        return []

    def helped(self, first: str, helpful: str, safety: str) -> list[Step]:
        judges = [
            Step(
                name,
                partial(reward, kind=kind, backbone=first, generations=(PAIRS,), part=JUDGE),
                tuple(dict.fromkeys((first, PAIRS))),
            )
            for kind, name in JUDGES.items()
        ]
        read = tuple(dict.fromkeys((PAIRS, first, helpful)))
        kept = Step(OWN_ANSWERS, partial(own_answers, first=first, helpful=helpful), read)
        return [*judges, kept, Step(LISTS, partial(lists, first=first), (first,))]

    def requests(
        self, context: Context, what: str, n: int, mix: Mapping[str, float] | None = None, split: str = "train"
    ) -> list[Prompt]:
        return people_requests(context, what, n, mix, split)

    def example(self, model: ChatModel, prompt: Prompt, answer: str) -> Example:
        return alike(model, prompt, answer)

    def is_right(self, prompt: Prompt, answer: Answer) -> bool:
        """No program knows more than that it has ended."""
        return answer.ended

    def replay(
        self, context: Context, model: ChatModel, safe: str | None = None, own: Sequence[Kept] | None = None
    ) -> dict[str, list[Example]]:
        return replay_pool(context, model, safe, own)

    def scenes(self, context: Context, model: ChatModel, seed: int) -> list[Scene]:
        return people_scenes(context, model, seed)

    def judging(self, context: Context) -> Judging:
        """How often the judges prefer the answers to those before PPO."""
        return wins_by_judges(Judges.of(context))

    def labelled(self, context: Context, generations: Sequence[str], model: ChatModel) -> Labelled:
        """The rejected answers to adversarial prompts count as unsafe, for want of a label; the chosen ones do not."""
        comparisons = [pair for step in generations for pair in pairs_of(context.of(step), SAFETY, HELD_OUT)]
        found = token_pairs(comparisons, model.chat, model.tokenizer)
        return [(ids, unsafe) for pair in found for ids, unsafe in ((pair.chosen, False), (pair.rejected, True))]

    def report(
        self, context: Context, stages: Mapping[str, str], first: str, helpful: str, safety: str, pairs: Sequence[str]
    ) -> Mapping[str, Any]:
        return report(context, stages, helpful, safety)
