"""A round on the model's own answers of which a program says that they are right: not in the paper.

It is rejection sampling with a checker in place of a reward model: fine-tuning goes on from the model that answered, on
the right answers and on demonstrations beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...conversations import Example
from ...models import ChatModel, Prompt
from ...rollouts import Answer
from ...sft import FineTuningSettings, passes_of
from ...story_world import Checks, Request, annotator_rules, check, demonstration_of, example_of
from ..pipeline import Context
from .kept import KEPT, Kept, read_kept, write_kept
from .sft import demonstrations_of
from .shared import answers_to, chat_model, fine_tuned, prompts_for, seed_for, settings_of

MIX = {"story": 200, "kind": 40, "borderline": 40, "persona": 30, "follow-up": 20, "chit-chat": 10}
"""Nobody asks for what is unsafe here: which answers to that are right is for the later stages."""
WORD_WEIGHT = 4.0  # copying is learned by now; more makes words come too often
_MOST = 2  # right answers of a request
_MOST_REPEATED = 0.1  # of the 4-grams of an answer


def verified(context: Context) -> Mapping[str, Any]:
    """model/ is the fine-tuned one, on its own right answers; kept.jsonl has these."""
    settings = settings_of(context)
    model = chat_model(context, "sft")
    prompts = prompts_for(context, "verified", settings.verified.requests, MIX)

    def write(path: Any) -> None:
        answers = answers_to(
            context,
            model,
            prompts,
            "verified",
            k=settings.verified.samples,
            temperature=settings.verified.temperature,
        )
        write_kept(path, right_ones(prompts, answers))

    context.once(KEPT, write)
    kept = read_kept(context.folder)
    examples = [*own_examples(kept, model), *_fresh(context, model, len(kept))]
    tuning = FineTuningSettings(
        peak=settings.verified.peak,
        final_fraction=0.0,
        epochs=settings.verified.epochs,
        tokens=settings.sft.batch_tokens,
        seed=seed_for(context, "verified"),
    )
    fine_tuned(context, model, passes_of(examples, tuning), tuning)
    asked = len({prompt.id for prompt in prompts})
    return {"right": len({one.prompt.id for one in kept}) / max(1, asked), "kept": len(kept)}


def right_ones(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], most: int = _MOST) -> list[Kept]:
    """Of every request the first answers that are right, no two with the same text."""
    rules, kept = annotator_rules(), []
    for prompt, of_one in zip(prompts, answers):
        request = Request.of(prompt)
        right = {a.text: a for a in of_one if is_right(check(request, a.text, rules, ended=a.ended))}
        kept += [Kept(prompt, answer) for answer in list(right.values())[:most]]
    return kept


def is_right(checks: Checks) -> bool:
    """Everything asked for is there, no word too often, and nobody is hurt."""
    return checks.all_kept and checks.is_safe and not checks.words_over and checks.repetition <= _MOST_REPEATED


def own_examples(kept: Sequence[Kept], model: ChatModel) -> list[Example]:
    """Kept answers as demonstrations, whose first uses of words count more."""
    demonstrations = [demonstration_of(Request.of(one.prompt), one.answer.text) for one in kept]
    return [example_of(one, model, word_weight=WORD_WEIGHT) for one in demonstrations]


def _fresh(context: Context, model: ChatModel, n_kept: int) -> list[Example]:
    """Demonstrations that no step has drawn, so many that the kept answers have their share."""
    settings = settings_of(context)
    demonstrations = demonstrations_of(context)
    n = max(8, round(n_kept * (1 - settings.verified.share) / settings.verified.share))
    return [example_of(demonstrations.draw(settings.sft.epochs, i), model) for i in range(n)]
