"""What the report card takes from the folders of earlier steps: PPO's looks, accuracy of reward models, seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....compute.array_types import Float, Float32
from ...ppo.validation import ValidationFiles
from ...rejection_sampling import best_of_n, read_candidates
from ...rejection_sampling.round_files import CANDIDATES, PROMPTS, folder_of, read_prompts
from ...reward import Scorer
from ...reward.measures import GATE, Rank, Share, by_bin, by_strength, calibration, unsafe_at, within_prompts
from ...reward.scorer import pair_scores
from ...reward.token_pairs import token_pairs
from ...story_world import Judge
from ..pipeline import Context
from ..pipeline.folder import RecipeFolder, read_done
from ..settings import command_again, format_recipe, own_settings
from .ppo import validation_prompts
from .preferences import HELD_OUT, HELPFUL, SAFETY, pairs_of
from .shared import answers_to, chat_model, prompts_for, settings_of
from .shares import MIX, VALIDATION_MIX

_MOST_PROMPTS = 200  # whose answers are judged for the picture of the best of N
_RANKED, _SAMPLES = 100, 16  # validation requests, and answers to each, whose order is compared with the truth


def kl_rows(context: Context, judge: Judge) -> list[dict[str, float]]:
    """PPO's looks at the validation requests: KL and reward as it saw them, and the truth that it did not see."""
    if not context.reads("ppo"):
        return []
    prompts, rows = validation_prompts(context, prompts_for, VALIDATION_MIX), []
    for look in ValidationFiles(context.of("ppo") / "ppo" / "policy" / "validation").history(1 << 30):
        judged = judge.judge(prompts, [one.text for one in look.answers], [one.ended for one in look.answers])
        truth = [one.s if prompt.tagged else one.h for one, prompt in zip(judged, prompts)]
        told: dict[str, float] = {
            name: look.figures[name] for name in ("kl", "reward", "judged") if name in look.figures
        }
        rows.append({"iteration": float(look.iteration), **told, "truth": float(np.mean(truth))})
    return rows


def best_of_n_rows(context: Context, judge: Judge, rounds: int) -> dict[str, dict[str, Any]]:
    """Of every round of rejection sampling: the largest and the median reward of N, and the truth of the chosen.

    Beside it how well the reward ranks the answers to a request (Spearman), mean over requests: those in which nobody
    is to be hurt, of the round's own.
    """
    found: dict[str, dict[str, Any]] = {}
    for number in range(1, rounds + 1):
        here = folder_of(context.of(f"rejection-{number}"), number)
        prompts = read_prompts(here / PROMPTS)
        some = [one for one in read_candidates(here / CANDIDATES)[1] if one.round == number]
        ids = [i for i in dict.fromkeys(one.prompt_id for one in some) if not prompts[i].tagged][:_MOST_PROMPTS]
        by_id = {i: [one for one in some if one.prompt_id == i] for i in ids}
        flat = [one for i in ids for one in by_id[i]]
        judged = judge.judge([prompts[one.prompt_id] for one in flat], [one.text for one in flat])
        rewards = np.array([one.reward for one in flat]).reshape(len(ids), -1)
        truth = np.array([one.h for one in judged]).reshape(len(ids), -1)
        curve, rank = best_of_n(rewards, truth), within_prompts(list(rewards), list(truth))
        assert curve.truth is not None
        rows = zip(curve.n.tolist(), curve.maximum.tolist(), curve.median.tolist(), curve.truth.tolist())
        found[f"round {number}"] = {
            "rows": [{"n": n, "max": a, "median": b, "truth": c} for n, a, b, c in rows],
            "rank": _rank_figure(rank),
        }
    return found


def rank_of(context: Context, step: str, helpful: Scorer, judge: Judge) -> dict[str, Any]:
    """How well the helpfulness model ranks answers to a validation request as the judge does, mean over requests."""
    n = min(_RANKED, settings_of(context).report.requests)
    mix = {kind: share for kind, share in MIX.items() if kind != "adversarial"}
    prompts = prompts_for(context, "rank", n, mix, "validation")
    answers = answers_to(context, chat_model(context, step), prompts, "rank", k=_SAMPLES, temperature=0.9)
    flat = [one for some in answers for one in some]
    owners = [prompt for prompt, some in zip(prompts, answers) for _ in some]
    judged = judge.judge(owners, [one.text for one in flat], [one.ended for one in flat])
    scores = helpful.scores([(*one.prompt, *one.ids) for one in flat]).reshape(n, -1)
    return _rank_figure(within_prompts(list(scores), list(np.array([one.h for one in judged]).reshape(n, -1))))


def _rank_figure(rank: Rank) -> dict[str, Any]:
    return {"n": rank.n} | (
        {"value": rank.value, "low": rank.interval.low, "high": rank.interval.high} if rank.n else {}
    )


def reward_model_rows(
    context: Context, pairs: Sequence[str], scorers: Mapping[str, Scorer], judge: Judge
) -> list[dict[str, Any]]:
    """Accuracy by strength, by which answers are safe, and calibration, on the held-out pairs of all these steps.

    What is safe the judge says: held-out requests have verbs that the annotator takes for harmless.
    """
    rows = []
    for name, file in (("helpfulness", HELPFUL), ("safety", SAFETY)):
        scorer = scorers[name]
        comparisons = [one for step in pairs for one in pairs_of(context.of(step), file, HELD_OUT)]
        assert scorer.chat is not None
        assert scorer.tokenizer is not None
        tokens = token_pairs(comparisons, scorer.chat, scorer.tokenizer)
        scores = pair_scores(scorer.model, scorer.config, tokens) - np.float32(scorer.shift)
        safe = np.array(
            [[not judge.rules.violations(text) for text in (one.chosen, one.rejected)] for one in comparisons], float
        )
        shares = by_strength(scores, [one.strength for one in comparisons])
        if name == "safety":
            shares |= by_bin(scores, safe) | _unsafe(scores, safe)
        accuracy = {
            label: {"value": one.value, "low": one.interval.low, "high": one.interval.high, "n": one.n}
            for label, one in shares.items()
            if one.n
        }
        bins = [[one.mean, one.right.value, one.right.n] for one in calibration(scores) if one.right.n]
        rows.append({"name": name, "accuracy": accuracy, "calibration": bins})
    return rows


def _unsafe(scores: Float32, safe: Float) -> dict[str, Share]:
    """Precision and recall of "unsafe", at one half and at the gate."""
    found: dict[str, Share] = {}
    for threshold in (0.5, GATE):
        at = unsafe_at(scores, safe, threshold)
        found |= {f"precision at {threshold:g}": at.precision, f"recall at {threshold:g}": at.recall}
    return found


def seconds_of(context: Context) -> list[dict[str, Any]]:
    """Of every step that is over, by the clock and of the CPU."""
    folder = RecipeFolder(context.folder.parent)
    found = []
    for path in sorted(folder.path.iterdir()):
        if path.is_dir() and (done := read_done(path)) is not None:
            found.append({"step": path.name, "wall": done.spent.wall, "cpu": done.spent.cpu})
    return found


def made_by(context: Context) -> str:
    """The command that makes the run again."""
    settings = settings_of(context)
    own = own_settings(settings)
    which = " (FILE: the settings at the end of this page, which are not all the preset's)" if own else ""
    return f"To make it again: {command_again(settings)}{which}"


def settings_text(context: Context) -> str:
    """The settings, as they stand in recipe.toml."""
    return format_recipe(settings_of(context))
