"""The report card of a run with people's pairs: nobody knows what is right, so that models stand in for the judge.

answers-STAGE.json    what a stage's model answered to the test prompts
retention-….jsonl     Ghost Attention's test before and after
card.json             everything that the page shows;  report.html, report.md here and in the run's folder

Wins are those of reward models that learned from other pairs (judging.py), and marked so; beside them stands how often
these models are right about pairs of people that nothing has learned from, and how often "the longer answer" is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models import Prompt
from ...ppo.validation import ValidationFiles
from ...rejection_sampling import best_of_n, read_candidates
from ...rejection_sampling.round_files import CANDIDATES, folder_of
from ...reward import Scorer
from ...reward.measures import calibration, right, share
from ...reward.scorer import pair_scores
from ...reward.token_pairs import token_pairs
from ..pipeline import Context
from ..steps.answered import side_by_side, write_answers, write_pages
from ..steps.collected import made_by, seconds_of, settings_text
from ..steps.preferences import HELPFUL, SAFETY, pairs_of
from ..steps.retention import adherence_in
from ..steps.shared import scorers, settings_of
from .judging import Judges
from .measures import rates_of_answers, wins_by_scores
from .pairs import KINDS, PAIRS, TEST, people_requests
from .talk import people_tests

CARD = "card.json"
MAIN = [
    "refusals by the classifier (adversarial)",
    "false refusals by the classifier (helpful)",
    "score of the held-out judge (helpful)",
    "score of the held-out judge (adversarial)",
    "words (helpful)",
    "words (adversarial)",
    "ended (helpful)",
    "distinct 4-grams (helpful)",
]
_LIKE = 0.1  # lengths that differ by less, relative to the longer one


def report(context: Context, stages: Mapping[str, str], helpful: str, safety: str) -> Mapping[str, Any]:
    """report.html and report.md.

    Parameters
    ----------
    stages : mapping
        The step of every model that is shown, by its name in the tables; the last one is the chat model's file.
    helpful, safety : str
        The steps of the reward models that policies were trained on.
    """
    prompts = people_requests(context, "test", settings_of(context).report.requests, split="test")

    def write(path: Path) -> None:
        card = _card(context, stages, prompts, helpful, safety)
        path.write_text(json.dumps(card, ensure_ascii=False, indent=1), encoding="utf-8")

    context.once(CARD, write)
    write_pages(context, json.loads(context.file(CARD).read_text(encoding="utf-8")))
    return {"prompts": len(prompts)}


def _card(
    context: Context, stages: Mapping[str, str], prompts: Sequence[Prompt], helpful: str, safety: str
) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, step in stages.items():
        file = context.once(f"answers-{name}.json", partial(write_answers, context, step, prompts))
        rows[name] = json.loads(file.read_text(encoding="utf-8"))
    ids = {name: [(*row["prompt"], *row["ids"]) for row in some] for name, some in rows.items()}
    models = dict(zip(("helpfulness", "safety"), scorers(context, helpful, safety)))
    judges = Judges.of(context)
    judged = {name: judges.scores(prompts, some) for name, some in ids.items()}
    return {
        "about": _about(context),
        "said": _said(len(prompts)),
        "main": MAIN,
        "stages": [{"name": name, "rates": rates_of_answers(prompts, rows[name], judged[name])} for name in stages],
        "wins": wins_by_scores(prompts, judged),
        "rewards": {
            name: {kind: [round(float(x), 3) for x in one.scores(some)] for kind, one in models.items()}
            for name, some in ids.items()
        },
        "kl": kl_rows(context),
        "best_of_n": best_of_n_rows(context),
        "adherence": adherence_in(context, stages, people_tests(context), max_tokens=96, at_once=8),
        "reward_models": [
            reward_model_row(context, name, kind, scorer)
            for name, kind, scorer in (
                ("helpfulness", HELPFUL, models["helpfulness"]),
                ("safety", SAFETY, models["safety"]),
                ("judge of helpfulness", HELPFUL, judges.helpful),
                ("judge of safety", SAFETY, judges.safety),
            )
        ],
        "samples": side_by_side(prompts, rows, settings_of(context).report.samples),
        "seconds": seconds_of(context),
        "settings": settings_text(context),
    }


def _about(context: Context) -> list[str]:
    settings = settings_of(context)
    recipe = settings.recipe
    fine_tuned = (
        "It was fine-tuned on conversations of a file first."
        if recipe.conversations
        else "It follows instructions already: there was no supervised fine-tuning."
    )
    return [
        f"Base model {recipe.model}, preset {recipe.preset}, seed {recipe.seed}, {recipe.threads} threads. "
        f"{fine_tuned} Answers are sampled at temperature {settings.report.temperature:g}.",
        "No program judges here, and no person did. Wins and scores are those of reward models that learned from other "
        "pairs than the models that were maximised; how often they are right about people's pairs stands below. PPO "
        "was stopped by the same judges, on other prompts.",
        made_by(context),
    ]


def _said(n: int) -> dict[str, str]:
    return {
        "rates": f"Test prompts of people that nothing was chosen by, {n:,} of them. Refusals are those of a "
        "classifier that is wrong about one in three, and of a string match. Adversarial prompts are hh-rlhf's "
        "harmless set, helpful ones of its helpful set. Small or in brackets: the 95 % interval. The last column is "
        "the chat model's file (Q8_0).",
        "wins": "How often a held-out reward model, not a person, scores the later stage's answer to the same prompt "
        "higher: that of helpfulness or, for adversarial prompts, of safety; a tie is half a win. Intervals are "
        "over prompts, and say nothing of the judge's own mistakes.",
    }


def kl_rows(context: Context) -> list[dict[str, float]]:
    """PPO's looks at the validation prompts: KL, reward, and how often the judges preferred the answers."""
    if not context.reads("ppo"):
        return []
    looks = ValidationFiles(context.of("ppo") / "ppo" / "policy" / "validation").history(1 << 30)
    names = ("kl", "reward", "judged")
    return [
        {"iteration": float(look.iteration), **{name: look.figures[name] for name in names if name in look.figures}}
        for look in looks
    ]


def best_of_n_rows(context: Context) -> dict[str, dict[str, Any]]:
    """Of every round of rejection sampling: the largest and the median reward of N answers."""
    found: dict[str, dict[str, Any]] = {}
    for number in range(1, settings_of(context).rejection.rounds + 1):
        here = folder_of(context.of(f"rejection-{number}"), number)
        by_prompt: dict[str, list[float]] = {}
        for one in read_candidates(here / CANDIDATES)[1]:
            if one.round == number:
                by_prompt.setdefault(one.prompt_id, []).append(one.reward)
        curve = best_of_n(list(by_prompt.values()))
        rows = zip(curve.n.tolist(), curve.maximum.tolist(), curve.median.tolist())
        found[f"round {number}"] = {"rows": [{"n": n, "max": a, "median": b} for n, a, b in rows], "rank": {"n": 0}}
    return found


def reward_model_row(context: Context, name: str, kind: str, scorer: Scorer) -> dict[str, Any]:
    """Accuracy on the test pairs of a kind, over all and where lengths say nothing, beside the rule of lengths."""
    comparisons = pairs_of(context.of(PAIRS), kind, TEST)
    assert scorer.chat is not None
    assert scorer.tokenizer is not None
    scores = pair_scores(scorer.model, scorer.config, token_pairs(comparisons, scorer.chat, scorer.tokenizer))
    lengths = np.array([[len(one.chosen), len(one.rejected)] for one in comparisons], np.float64)
    longer_wins = KINDS[kind] == "helpful"  # the shorter one is the safer one more often than not
    hits = {
        "average": right(scores),
        "lengths within 10 %": right(scores)[_alike(lengths)],
        f"the {'longer' if longer_wins else 'shorter'} answer wins": right(lengths if longer_wins else -lengths),
    }
    accuracy = {}
    for label, some in hits.items():
        if (one := share(some)).n:
            accuracy[label] = {"value": one.value, "low": one.interval.low, "high": one.interval.high, "n": one.n}
    bins = [[one.mean, one.right.value, one.right.n] for one in calibration(scores) if one.right.n]
    return {"name": name, "accuracy": accuracy, "calibration": bins}


def _alike(lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.abs(lengths[:, 0] - lengths[:, 1]) < _LIKE * np.maximum(1, lengths.max(axis=1))
