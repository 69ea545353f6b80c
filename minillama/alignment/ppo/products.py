"""The share of PPO's time that is spent in matrix products: measured, on the table of layers that a model runs with.

The products of the linear layers and of the head count, in both directions; attention's own, between queries and keys,
do not. One thread does the work with its products timed, as each thread of a team does. Reward models are taken to be
like the value network: a backbone without a head. Sampling is left out: its kernel does whole layers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...ops import FAST, Ops
from ...training.workers import Workers
from ..reward import Scorer
from .experience import Experience
from .objective import ActorCritic, experience_logprobs, experience_values
from .stage import PPO


def product_share(work: Callable[[Ops], Any]) -> float:
    """The share of the time of `work(ops)` in the products of linear layers, at its second run."""
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            nonlocal spent
            since = time.perf_counter()
            found = function(*arguments)
            spent += time.perf_counter() - since
            return found

        return run

    ops = FAST._replace(linear_forward=timed(FAST.linear_forward), linear_backward=timed(FAST.linear_backward))
    with Workers(1) as workers:
        workers.map(work, [ops])
        spent, since = 0.0, time.perf_counter()
        workers.map(work, [ops])
        return spent / (time.perf_counter() - since)


def product_shares(stage: PPO, model: ActorCritic, batch: Experience) -> dict[str, float]:
    """Of the parts of an iteration, by the names of `report.time_table`."""
    reference = stage.collector.model

    def log_probabilities(ops: Ops) -> None:
        experience_logprobs(reference.params, stage.config, batch, stage.ppo.temperature, ops)

    def values(ops: Ops) -> None:
        experience_values(model.value, stage.value_config, batch, ops)

    def both(ops: Ops) -> None:
        log_probabilities(ops)
        values(ops)

    scored = {"scoring": product_share(values)} if isinstance(stage.collector.scoring.helpfulness, Scorer) else {}
    return scored | {
        "policy": product_share(both),
        "reference": product_share(log_probabilities),
        "update": product_share(lambda ops: stage.objective(model, batch, ops)),
    }
