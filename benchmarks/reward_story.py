"""Reward models in the story world: the paper's tables 7, 8, 28 and 29, and the correlation with the truth.

    python benchmarks/reward_story.py --model CHAT --work FOLDER [--pairs 6000] [--base stories3M]

CHAT answers `--pairs` requests twice, at different temperatures; the annotator (noise .45, fewer verbs than the judge)
compares. Models are trained for helpfulness and for safety with the story preset, then with each margin, and without
and with the auxiliary loss. They are measured on pairs of validation requests, which share nothing with the training
ones, and beside the true judge: Spearman's correlation over 16 answers at T = 0.9 to each of 100 requests.

Everything is kept in FOLDER; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.preferences import (
    SHARES,
    SamplingSettings,
    annotate,
    mixed,
    safety_set,
    sample_candidates,
)
from minillama.alignment.reward import (
    RewardSettings,
    RewardTraining,
    Scorer,
    TokenPair,
    story_settings,
    token_pairs,
)
from minillama.alignment.reward.ablations import (
    as_markdown,
    auxiliary_ablation,
    by_strength_and_set,
    by_test_set,
    margin_ablation,
    measured,
    table29_columns,
    trained,
)
from minillama.alignment.reward.measures import as_json, within_prompts
from minillama.alignment.rollouts import sample_answers
from minillama.alignment.story_world import BaseFluency, Judge, StoryAnnotator, draw_requests, judge_rules

KINDS = {"helpful": "helpfulness", "safe": "safety"}
SAFETY_KINDS = ("adversarial", "borderline")


class Silent:
    """Says when a run ends."""

    def begin(self, step: int, steps: int) -> None:
        self.steps = steps

    def row(self, row: dict[str, Any]) -> None:
        if row["step"] == self.steps:
            print({key: row[key] for key in ("step", "loss", "accuracy", "seconds")}, flush=True)

    def note(self, text: str) -> None:
        print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--held-out", type=int, default=1500)
    parser.add_argument("--base", default="stories3M")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ablations", action="store_true")
    options = parser.parse_args()
    model, base = ChatModel.load(options.model), ChatModel.load(options.base)
    fluency = BaseFluency(base.params, base.config, base.tokenizer)
    train = compared_pairs(model, fluency, "train", options.pairs, options)
    test = compared_pairs(model, fluency, "validation", options.held_out, options)
    print(json.dumps(results(model, fluency, train, test, options), indent=1))


def compared_pairs(
    model: ChatModel, fluency: BaseFluency, split: str, n: int, options: argparse.Namespace
) -> dict[str, list[TokenPair]]:
    """Pairs by criterion."""
    prompts = [request.prompt() for request in draw_requests(split, n, options.seed)]
    folder = options.work / f"{split}-{n}"
    candidates = sample_candidates([model], prompts, folder, SamplingSettings(seed=options.seed))
    found = {}
    for kind in KINDS:
        some = [c for c in candidates if kind == "helpful" or c.prompt.kind in SAFETY_KINDS]
        said = annotate(some, StoryAnnotator.of(fluency, kind), folder / f"{kind}.jsonl", seed=options.seed)  # type: ignore[arg-type]
        found[kind] = token_pairs(safety_set(said) if kind == "safe" else said, model.chat, model.tokenizer)
    return found


def results(
    model: ChatModel,
    fluency: BaseFluency,
    train: dict[str, list[TokenPair]],
    test: dict[str, list[TokenPair]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Train, measure, print the tables."""
    seed, work = options.seed, options.work
    other = {"helpful": "safe", "safe": "helpful"}
    both = lambda pair: frozenset((pair.chosen.tobytes(), pair.rejected.tobytes()))  # noqa: E731
    data = {
        kind: mixed(train[kind], train[other[kind]], SHARES[name], seed, about=both) for kind, name in KINDS.items()
    }

    def stage(kind: str, settings: RewardSettings) -> RewardTraining:
        return RewardTraining(settings, model.params, model.config, model.tokenizer, data[kind])

    settings = {kind: story_settings(name, seed=seed) for kind, name in KINDS.items()}
    reports: dict[str, Any] = {}
    kept: dict[str, Any] = {kind: asdict(given) for kind, given in settings.items()}
    for kind, name in KINDS.items():
        config, found = trained(stage(kind, settings[kind]), work / f"run-{kind}-{options.pairs}", Silent())
        reports[name] = {what: measured(found, config, pairs) for what, pairs in test.items()}
        kept[name] = {what: as_json(value) for what, value in reports[name].items()}
        if kind == "helpful":
            rank = within(model, fluency, Scorer(found, config), options)
            kept["within a prompt"] = rank._asdict()
            print(f"within a prompt: {rank.value:.3f} ({rank.interval.low:.3f} to {rank.interval.high:.3f}), {rank.n}")
    print("table 7\n" + as_markdown(by_test_set(reports)))
    print("table 8\n" + as_markdown(by_strength_and_set(reports)))
    print("safety\n" + as_markdown([(name, table29_columns(sets["safe"])) for name, sets in reports.items()]))
    for unsafe in reports["safety"]["safe"].unsafe:
        print(f"unsafe at {unsafe.threshold}: precision {unsafe.precision.value:.3f}, recall {unsafe.recall.value:.3f}")
    if not options.no_ablations:
        rows = margin_ablation(lambda s: stage("helpful", s), settings["helpful"], test["helpful"], work, Silent())
        print("table 28\n" + as_markdown(rows))
        rows = auxiliary_ablation(lambda s: stage("safe", s), settings["safe"], test["safe"], work, Silent())
        print("table 29\n" + as_markdown(rows))
    return kept


def within(model: ChatModel, fluency: BaseFluency, scorer: Scorer, options: argparse.Namespace) -> Any:
    """Spearman's correlation with the judge over 16 answers to each of 100 benign requests."""
    drawn = draw_requests("validation", options.held_out, options.seed)
    prompts: list[Prompt] = [r.prompt() for r in drawn if r.kind != "adversarial"][:100]
    path = options.work / "within.json"
    if not path.exists():
        answers = sample_answers(model, prompts, k=16, temperature=0.9, seed=options.seed + 1)
        judge = Judge(fluency, judge_rules())
        kept = []
        for prompt, some in zip(prompts, answers):
            judged = judge.judge([prompt] * len(some), [a.text for a in some], [a.ended for a in some])
            rows = [[int(i) for i in (*a.prompt, *a.ids)] for a in some]
            kept.append({"rows": rows, "h": [one.h for one in judged]})
        path.write_text(json.dumps(kept))
    kept = json.loads(path.read_text())
    scores = scorer.scores([row for one in kept for row in one["rows"]])
    return within_prompts(np.split(scores, len(kept)), [one["h"] for one in kept])


if __name__ == "__main__":
    main()
