"""The temperature of a round: the one whose best of K is best (LLaMA 2, figure 8).

    T* = argmax over T of  mean over validation prompts of  max over K answers at T of  R

Hotter samples are more diverse and on average worse; which counts for more depends on the model, so that the paper
tunes T anew for every version (1.2 to 1.3 is best for its RLHF model with 10 to 100 samples). Of equal ones the lower.
K should be that of the round: the more answers, the more diversity is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...evaluation.statistics.intervals import bootstrap
from ..models import ChatModel, Prompt
from ..rollouts import sample_answers
from .candidates import Rewards, checked_rewards

Row = dict[str, Any]
"""A line of the table: "temperature", "maximum" with "low" and "high" over prompts, "median", "mean", the share of
answers that "ended", and all "rewards", a list for each prompt."""


def temperature_table(
    model: ChatModel,
    prompts: Sequence[Prompt],
    rewards: Rewards,
    temperatures: Sequence[float],
    k: int,
    *,
    folder: Path,
    **options: Any,
) -> list[Row]:
    """Rewards of K answers to validation prompts, at each temperature.

    Parameters
    ----------
    folder : Path
        The answers are kept there, and not sampled again.
    **options
        Of `sample_answers`: seed, max_tokens, top_p, max_rows, progress.
    """
    table = []
    for temperature in temperatures:
        answers = sample_answers(
            model,
            prompts,
            k=k,
            temperature=temperature,
            journal=folder / f"validation-{temperature:g}.jsonl",
            **options,
        )
        flat = [answer for row in answers for answer in row]
        found = checked_rewards(rewards, [prompt for prompt in prompts for _ in range(k)], flat)
        ended = float(np.mean([answer.ended for answer in flat]))
        table.append(table_row(temperature, found.reshape(len(prompts), k), ended))
    return table


def table_row(temperature: float, rewards: npt.NDArray[np.float64], ended: float) -> Row:
    """The line of one temperature from rewards (P, K)."""
    best = rewards.max(axis=1)
    low, high = bootstrap(best, resamples=2000)
    return {
        "temperature": float(temperature),
        "maximum": float(best.mean()),
        "low": low,
        "high": high,
        "median": float(np.median(rewards, axis=1).mean()),
        "mean": float(rewards.mean()),
        "ended": ended,
        "rewards": rewards.tolist(),
    }


def chosen_temperature(table: Sequence[Mapping[str, Any]]) -> float:
    """The temperature with the highest mean maximum; of equal ones the lowest."""
    if not table:
        raise ValueError("there is no temperature to choose from")
    return float(max(table, key=lambda row: (row["maximum"], -row["temperature"]))["temperature"])
