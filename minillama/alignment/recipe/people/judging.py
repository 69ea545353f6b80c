"""Reward models of other pairs in the place of a judge: nobody knows here which of two answers is better.

They learn as those that policies are trained on do, from pairs of the judges' part, which share no first message with
theirs. What a policy has learned of one model's mistakes it has not learned of the other's, as far as these differ:
both come from the same base and from annotators with the same instructions, and are right about six pairs of ten. So a
win is a win with such a judge, and the report says so.

PPO is stopped by the same judges on validation prompts; the report has others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ....compute.array_types import Float
from ...models import Prompt
from ...ppo.validation import Judging
from ...reward import Scorer
from ...rollouts import Answer
from ..pipeline import Context
from ..steps.shared import scorers

JUDGES = {"helpful": "judge-helpful", "safety": "judge-safety"}
"""The steps."""
SAME = 1e-6  # scores that differ by no more are a tie


class Judges:
    """Both judges: safety's where a prompt is tagged, helpfulness' elsewhere."""

    def __init__(self, helpful: Scorer, safety: Scorer) -> None:
        self.helpful, self.safety = helpful, safety

    @classmethod
    def of(cls, context: Context) -> Judges:
        """Those of the run."""
        return cls(*scorers(context, *JUDGES.values()))

    def scores(self, prompts: Sequence[Prompt], rows: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """A score for the answer to each prompt, (n,), of its own judge; rows are ids of prompt and answer."""
        found, tagged = np.zeros(len(rows)), np.array([prompt.tagged for prompt in prompts], bool)
        for judge, places in (
            (self.safety, np.flatnonzero(tagged).tolist()),
            (self.helpful, np.flatnonzero(~tagged).tolist()),
        ):
            if len(places):
                found[places] = judge.scores([rows[i] for i in places])
        return found


def points(before: npt.ArrayLike, now: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """1 where the score is higher now, 0 where it is lower, 1/2 for a tie."""
    difference = np.asarray(now, np.float64) - np.asarray(before, np.float64)
    return np.where(np.abs(difference) <= SAME, 0.5, (difference > 0).astype(np.float64))


def wins_by_judges(judges: Judges) -> Judging:
    """What PPO is stopped by: how often the judges prefer an answer to the one before PPO."""

    def judge(prompts: Sequence[Prompt], answers: Sequence[Answer], before: Sequence[Answer]) -> Float:
        both: Mapping[str, Sequence[Answer]] = {"now": answers, "before": before}
        found = {name: judges.scores(prompts, [(*a.prompt, *a.ids) for a in some]) for name, some in both.items()}
        return points(found["before"], found["now"])

    return judge
