"""PPO from beginning to end: the gate is checked, the value network warmed up, the policy trained until it peaks.

    FOLDER/value/      a run of its own: the value network                 warmup.py
    FOLDER/policy/     the run of PPO, with rollouts/ and validation/      stage.py

Called again after any interrupt, kill -9 too, it goes on where it was, to the same bits; when all is done it reads what
came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...compute.array_types import Ints
from ...config import ModelConfig
from ...files.atomic import atomic_write
from ...files.json_object import read_object
from ...training.checkpoint import read_model
from ...training.objectives import shares
from ...training.run_folder import RunError, RunFolder
from ...training.stage import Stage
from ...training.trainer import Observer, Outcome, train
from ..models import ChatModel, Prompt
from ..reward import RewardModel
from .collection import Collector
from .products import product_shares
from .prompts import draw_prompts
from .reward import Scoring, check_gate
from .settings import PAPER, PPOSettings
from .stage import PPO
from .validation import Validation
from .warmup import ValueWarmUp

Labelled = Sequence[tuple[Sequence[int] | Ints, bool]]
"""Rows of ids, prompt and answer, and whether the answer is unsafe."""


@dataclass(frozen=True)
class PPOOutcome:
    """What came of it.

    Attributes
    ----------
    model : ChatModel
        The best policy by validation; the start where none was better.
    iteration : int
        After which it was that; 0 is the start.
    iterations : int
        Those made.
    checkpoint : Path or None
        Of the best policy, with its value network; None for the start.
    folder : Path
        Of the policy's run, for report.py.
    explained : float or None
        Share of the variance that the value network explained at the end of its warm-up.
    gate_share : float or None
        Share of labelled unsafe answers below the gate.
    products : dict
        Share of the time in matrix products by part of an iteration, for `report.time_table`; of a run that ended.
    interrupted : bool
        `stop` said so before the end; call again to go on.
    """

    model: ChatModel
    iteration: int
    iterations: int
    checkpoint: Path | None
    folder: Path
    explained: float | None
    gate_share: float | None
    products: Mapping[str, float]
    interrupted: bool


@dataclass(frozen=True)
class _Run:
    """What the two runs share."""

    folder: Path
    observer: Observer
    threads: int | None
    stop: Callable[[], bool]

    def trained(self, stage: Stage, folder: RunFolder, enough: Callable[[], bool]) -> Outcome:
        def stop() -> bool:
            return enough() or self.stop()

        return train(stage, folder, self.observer, threads=self.threads, resume=True, stop=stop)


def run_ppo(
    folder: Path,
    model: ChatModel,
    value: RewardModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    observer: Observer,
    settings: PPOSettings = PAPER["7B"],
    *,
    labelled: Labelled | None = None,
    validation: Validation | None = None,
    value_config: ModelConfig | None = None,
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] | None = None,
) -> PPOOutcome:
    """Train a policy against reward models, from the beginning or from where it was.

    Parameters
    ----------
    folder : Path
    model : ChatModel
        Start and reference; not changed.
    value : RewardModel
        The reward model that the value network starts from, usually that of helpfulness; not changed.
    prompts : sequence of Prompt
        Of every kind enough for a batch (`settings.mix`).
    scoring : Scoring
        With centres measured on samples of the policy that it starts from (`Scoring.centred`).
    observer : Observer
    settings : PPOSettings
    labelled : sequence of (ids, bool), optional
        Labelled answers that the safety model was not trained on, to check the gate on. Needed with such a model.
    validation : Validation, optional
        Without it the last policy is what comes out.
    value_config : ModelConfig, optional
        Where the value network has another shape than the policy.
    threads, stop
        As in `trainer.train`.
    progress : callable, optional
        Told (answers done, answers in all) while they are sampled.

    Raises
    ------
    ValueError
        When the gate would never act, prompts do not suffice, or (RunError) a run cannot begin or go on, or the value
        network explains too little and `settings.go_on` is off.
    """
    draw_prompts(prompts, settings.batch, settings.mix, [0])  # there are enough of every kind
    share = _checked_gate(scoring, labelled, settings)
    run = _Run(folder, observer, threads, stop)
    if share is not None:
        observer.note(f"{share:.0%} of the labelled unsafe answers lie below the gate of {settings.gate:g}")
    collector = Collector(model, value_config or model.config, prompts, scoring, settings, progress)
    value, explained, interrupted = _warmed_up(run, value, collector)
    ran = RunFolder(folder / "policy")
    stage = PPO(
        model, value, prompts, scoring, settings, ran,
        validation=validation, value_config=value_config, progress=progress,
    )  # fmt: skip
    if interrupted:
        return _outcome(stage, ran, 0, True, explained, share)
    outcome = _trained(run, ran, stage)
    return _outcome(stage, ran, outcome.step, outcome.interrupted, explained, share)


def _checked_gate(scoring: Scoring, labelled: Labelled | None, settings: PPOSettings) -> float | None:
    if scoring.safety is None:
        return None
    if not labelled:
        raise ValueError("PPO with a safety model needs labelled answers (labelled=) to check that the gate ever acts")
    rows, unsafe = zip(*labelled, strict=True)
    return check_gate(np.asarray(scoring.safety.scores(rows)), np.array(unsafe, bool), settings.gate)


def _warmed_up(run: _Run, value: RewardModel, collector: Collector) -> tuple[RewardModel, float | None, bool]:
    """The value network after its warm-up, what it explained, and whether it was interrupted."""
    settings, ran = collector.settings, RunFolder(run.folder / "value")
    if not settings.warmup_iterations:
        return value, None, False
    stage = ValueWarmUp(value, collector, ran)
    newest = ran.saved()[-1] if ran.saved() else None
    enough = newest is not None and any(x >= settings.explained for x in stage.explained(newest.step))
    if newest is None or not (enough or newest.step == stage.settings.run.steps):
        outcome = run.trained(stage, ran, stage.is_enough)
        newest = ran.saved()[-1]
        if outcome.interrupted and not stage.is_enough():
            return value, None, True
    explained = stage.explained(newest.step)[-1]
    if explained < settings.explained:
        _missed(run, explained, settings)
    return read_model(newest.path, stage.pattern())[1], explained, False


def _missed(run: _Run, explained: float, settings: PPOSettings) -> None:
    told = (
        f"the value network explains {explained:.0%} of the variance after {settings.warmup_iterations} iterations, "
        f"{settings.explained:.0%} were asked for"
    )
    if not settings.go_on:
        raise RunError(f"{told}: give it more iterations or a higher rate in another folder, or set go_on")
    run.observer.note(f"{told}; PPO begins all the same")


def _trained(run: _Run, ran: RunFolder, stage: PPO) -> Outcome:
    """Train until the last iteration, the peak or an interrupt; nothing where that has been."""
    saved = ran.saved()
    if saved and stage.had_peaked_at(saved[-1].step):
        return Outcome(saved[-1].step, False, saved[-1].path)
    outcome = run.trained(stage, ran, stage.has_peaked)
    peaked = outcome.interrupted and stage.had_peaked_at(outcome.step)
    if peaked:
        run.observer.note(
            f"validation has not improved for {stage.ppo.patience} looks: stopped after step {outcome.step}"
        )
    return replace(outcome, interrupted=outcome.interrupted and not peaked)


def _outcome(
    stage: PPO, ran: RunFolder, step: int, interrupted: bool, explained: float | None, share: float | None
) -> PPOOutcome:
    last = step // stage.ppo.mini_batches
    best = stage.best_iteration(last)
    path = None
    if best:
        wanted = best * stage.ppo.mini_batches if stage.looks.history(last) else step
        path = next((saved.path for saved in ran.saved() if saved.step == wanted), None)
        if path is None:
            raise RunError(f"the checkpoint of iteration {best}, the best of {ran.path}, is not there any more")
    model = stage.collector.model
    policy = model if path is None else replace(model, params=read_model(path, stage.pattern())[1].policy)
    products = {} if interrupted else _products(stage, ran, last)
    return PPOOutcome(policy, best, last, path, ran.path, explained, share, products, interrupted)


def _products(stage: PPO, ran: RunFolder, iteration: int) -> dict[str, float]:
    """The share of the time in matrix products, measured once on the last rollout."""
    kept, newest = ran.file("products.json"), ran.newest()
    if kept.exists():
        return dict(read_object(kept))
    collected = stage.rollouts.read(iteration)
    if collected is None or newest is None:
        return {}
    batch = collected.experience.taken(shares(stage.ppo.batch, stage.ppo.mini_batches)[0])
    found = product_shares(stage, read_model(newest, stage.pattern())[1], batch)
    with atomic_write(kept) as file:
        file.write((json.dumps(found) + "\n").encode())
    return found
