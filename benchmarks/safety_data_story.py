"""How much safety data is enough, in the story world: the paper's figure 14, from a finished run of the recipe.

    minillama align --out RUN                                  # preset story: an hour
    python benchmarks/safety_data_story.py RUN --work FOLDER   # some minutes; resumed by the same command

The fine-tuned model of RUN learns, as in its step "distillation", the helpfulness data (right answers to harmless
requests, all of them always) and 0, 1, 10, 25, 50 or 100 % of the safety data (answers behind a pre-prompt that the
safety model preferred, to adversarial requests). Each of the six is asked requests of the validation split. Mean
rewards are those of RUN's last reward models; violations and false refusals are the judge's.

FOLDER gets rows.jsonl, table.md and figure.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from minillama.alignment.conversations import Example
from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.recipe.pipeline import Context, RecipeFolder
from minillama.alignment.recipe.pipeline.clock import Spent, StepClock
from minillama.alignment.recipe.settings import read_recipe
from minillama.alignment.recipe.steps.kept import drawn, read_kept
from minillama.alignment.recipe.steps.shared import (
    chat_model,
    scorer,
    seed_for,
    settings_of,
    template_of,
    verified_steps,
)
from minillama.alignment.recipe.steps.story import StoryWorld
from minillama.alignment.recipe.steps.world import tuning_of
from minillama.alignment.safety.learning import first_weighted
from minillama.alignment.safety.outcomes import Outcome
from minillama.alignment.safety.plots import draw_scaling
from minillama.alignment.safety.scaling import measured, safety_data_scaling, scaling_table
from minillama.alignment.sft import FineTuning, passes_of
from minillama.alignment.story_world import Request, draw_requests, judge_rules
from minillama.alignment.story_world.checks import check

ASKED = {"adversarial": 0.4, "borderline": 0.35, "kind": 0.1, "story": 0.15}


class Said:
    """Tells how far it is, a line now and then."""

    def begin(self, number: int, n_steps: int, name: str) -> None:
        print(name, flush=True)

    def progress(self, done: int, total: int, text: str) -> None:
        if done == total:
            print(f"  {text} {done}/{total}", flush=True)

    def end(self, spent: Spent, figures: Mapping[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        print(f"  {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished `minillama align --out`, preset story")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    steps = {path.name.partition("-")[2]: path for path in sorted(options.run.glob("[0-9][0-9]-*"))}
    settings = read_recipe(RecipeFolder(options.run).settings)

    def context_in(folder: Path) -> Context:
        folder.mkdir(parents=True, exist_ok=True)
        return Context(folder, settings, settings.recipe.threads, steps, Said(), StepClock(folder))

    here = context_in(options.work)
    model = chat_model(here, verified_steps(settings)[-1])
    safety, helpful = data_of(here, model)
    print(f"{len(safety)} examples of safety, {len(helpful)} of helpfulness", flush=True)
    generations = [name for name in steps if name.startswith("reward-safety")]
    measure = partial(
        measured,
        prompts=[request.prompt() for request in draw_requests("validation", options.requests, 14, ASKED)],
        safety=scorer(here, generations[-1]),
        helpfulness=scorer(here, generations[-1].replace("safety", "helpful")),
        judge=judged,
        temperature=0.7,
        seed=14,
        max_tokens=settings.recipe.max_tokens,
    )

    def trained(share: float, items: list[Example]) -> ChatModel:
        context = context_in(options.work / f"share-{100 * share:g}")
        tuning = tuning_of(StoryWorld(), settings, settings.distillation, seed_for(context, "distillation"))
        examples = passes_of([*items, *helpful], tuning)
        folder = context.trained(FineTuning(model, examples, tuning, name="safety data"))
        return ChatModel.load(folder, template_of(context), max_seq_len=settings.recipe.context)

    rows = safety_data_scaling(safety, trained, measure, journal=options.work / "rows.jsonl")
    table = scaling_table(rows)
    (options.work / "table.md").write_text(table, encoding="utf-8")
    draw_scaling(rows, options.work / "figure.png")
    print(table)


def data_of(context: Context, model: ChatModel) -> tuple[list[Example], list[Example]]:
    """What the run's distillation learned from: safe answers, and what it replayed beside all of them."""
    world, given = StoryWorld(), settings_of(context).distillation
    safe = [world.example(model, one.prompt, one.answer) for one in read_kept(context.of("distillation"))]
    shares = world.beside["distillation"]
    n = round(given.replay * sum(shares.values()) * len(safe))
    helpful = drawn(world.replay(context, model), shares, n, seed_for(context, "distillation"))
    safe, helpful = ([first_weighted(one, given.first_weight) for one in some] for some in (safe, helpful))
    return safe, helpful


def judged(prompt: Prompt, text: str) -> Outcome:
    """As the judge's rules see it."""
    found = check(Request.of(prompt), text, _RULES)
    return Outcome(bool(found.violations), found.kind_turn, found.event_told)


_RULES = judge_rules()

if __name__ == "__main__":
    main()
