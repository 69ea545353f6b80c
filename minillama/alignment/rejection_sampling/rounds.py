"""A round of rejection sampling: sample, score, choose, fine-tune (LLaMA 2 section 3.2.3).

    T   = the temperature at which the best of K is best on validation prompts         temperature.py
    y_k ~ policy(. | x) at T,  k = 1 … K;   r_k = R(x, y_k)                             candidates.py
    pool: the best answer to every prompt, over the candidates of all rounds
    next policy = the fine-tuned model, tuned once more on the pool and on replayed examples

Every round starts from the checkpoint of supervised fine-tuning, not from the policy that sampled: the pool holds what
was learned. (The paper restarts each version from the base model with a fixed number of steps; K and the number of
prompts are unconfirmed.) What neither pool nor replay holds is forgotten.

    FOLDER/round-01/  settings.json             what the round is bound to
                      validation-0.9.jsonl …    answers to validation prompts
                      temperatures.json         the table, and what was chosen
                      prompts.jsonl  answers.jsonl
                      candidates.jsonl          those of all rounds, with this round's rewards
                      pool.jsonl                the chosen ones
                      …                         what the fine-tuning writes

Every file is whole or not there, or a journal: a round that was stopped at any moment goes on and ends with the same
bytes. Reward models may differ from round to round; then all earlier candidates are scored again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ...files.lock import open_locked
from ..conversations import Example, digest_of
from ..models import ChatModel, Prompt
from ..rollouts import sample_answers
from .candidates import (
    Candidate,
    Keep,
    Rewards,
    checked_rewards,
    chosen,
    figures_of,
    read_candidates,
    scored,
    write_candidates,
)
from .round_files import (
    CANDIDATES,
    POOL,
    PROMPTS,
    TEMPERATURES,
    bind,
    dialogue_of,
    digest_of_prompts,
    folder_of,
    read_prompts,
    write_json,
    write_prompts,
)
from .temperature import Row, chosen_temperature, temperature_table

FineTune = Callable[[list[Example], Path], ChatModel]
"""(examples, a folder of the round) -> the checkpoint of supervised fine-tuning, tuned on them; it goes on there where
it was stopped."""

Progress = Callable[[str, int, int], None]
"""Told (what is counted, how many are done, how many there are)."""


@dataclass(frozen=True, kw_only=True)
class RejectionSettings:
    """Of a round.

    Attributes
    ----------
    samples : int
        K, answers to a prompt.
    temperatures : tuple of float
        To choose from; a single one needs no validation prompts.
    validation_samples : int or None
        Answers to a validation prompt at each temperature; None is K.
    top_p, max_tokens, max_rows, seed
        See `sample_answers`. The seed is that of all rounds; each draws other answers.
    pooled : bool
        Candidates of all rounds are compared; otherwise those of this round alone.
    """

    samples: int = 16
    temperatures: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    validation_samples: int | None = None
    top_p: float = 1.0
    max_tokens: int = 160
    max_rows: int = 64
    seed: int = 0
    pooled: bool = True


class NothingKeptError(ValueError):
    """No candidate of any round so far may be learned from."""


class Outcome(NamedTuple):
    """What a round gave.

    Attributes
    ----------
    model : ChatModel
        The next policy.
    temperature : float
    table : list of Row
        Empty where there was nothing to choose.
    candidates, pool : list of Candidate
    figures : dict
        See `candidates.figures_of`.
    """

    model: ChatModel
    temperature: float
    table: list[Row]
    candidates: list[Candidate]
    pool: list[Candidate]
    figures: dict[str, float]


def rejection_round(
    folder: Path,
    number: int,
    policy: ChatModel,
    prompts: Sequence[Prompt],
    rewards: Rewards,
    fine_tune: FineTune,
    settings: RejectionSettings | None = None,
    *,
    validation: Sequence[Prompt] = (),
    replay: Sequence[Example] = (),
    keep: Keep | None = None,
    example: Callable[[Prompt, Candidate], Example] = lambda prompt, one: one.example,
    rewards_name: str = "",
    progress: Progress | None = None,
) -> Outcome:
    """Round `number`, from 1, or what is left of it.

    Parameters
    ----------
    folder : Path
        Of all rounds.
    policy : ChatModel
        What samples: the fine-tuned model in round 1, then what the round before gave.
    prompts : sequence of Prompt
        Those of other rounds, or others: the pool has all of them.
    rewards : Rewards
        `rewards_of(scorer)`, or a function of your own.
    fine_tune : FineTune
    validation : sequence of Prompt
        What the temperature is chosen on.
    replay : sequence of Example
        Learned beside the pool, so that they are not forgotten.
    keep : Keep, optional
        An answer is chosen only where it holds.
    example : callable
        How a chosen answer is learned; by default every token that was sampled counts alike.
    rewards_name : str
        Says which reward models these are: with another name than in the round before, all its candidates are scored
        again.
    progress : Progress, optional

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        When the folder was made with other settings, models or prompts, or an earlier round is missing. A
        NothingKeptError, one of them, when no answer may be kept.
    """
    settings = settings or RejectionSettings()
    here = folder_of(folder, number)
    here.mkdir(parents=True, exist_ok=True)
    this = _Round(here, number, policy, rewards, rewards_name, keep, settings, progress)
    with open_locked(folder / "lock", "samples"):
        before = _before(folder, number)
        before.check(prompts)
        bind(here, this.binding(prompts, validation, replay))
        temperature, table = this.temperature(validation)
        candidates = this.candidates(prompts, temperature, before)
        pool = chosen(candidates, only_round=None if settings.pooled else number)
        if not pool:
            write_candidates(
                here / POOL, {"figures": {"temperature": temperature}}, pool
            )  # a next round goes on from it
            raise NothingKeptError(
                f"no answer of round {number} may be kept: every candidate breaks the rule that was given"
            )
        figures = figures_of(candidates, pool) | {"temperature": temperature}
        write_candidates(here / POOL, {"figures": figures}, pool)
        asked = read_prompts(here / PROMPTS)
        model = fine_tune([example(asked[one.prompt_id], one) for one in pool] + list(replay), here)
    return Outcome(model, temperature, table, candidates, pool, figures)


class _Before(NamedTuple):
    """What the round before knew."""

    rewards_name: str
    candidates: list[Candidate]
    prompts: dict[str, Prompt]

    def check(self, prompts: Sequence[Prompt]) -> None:
        """A prompt goes by its id, in a round and over all of them."""
        if twice := [prompt_id for prompt_id, n in Counter(prompt.id for prompt in prompts).items() if n > 1]:
            raise ValueError(f"the prompt {twice[0]} is there twice: a round has one answer for each id")
        for prompt in prompts:
            if prompt.id in self.prompts and dialogue_of(self.prompts[prompt.id]) != dialogue_of(prompt):
                raise ValueError(
                    f"the prompt {prompt.id} was another one in an earlier round: give it an id of its own"
                )

    def rescored(self, rewards: Rewards) -> list[Candidate]:
        """The candidates with rewards of other models."""
        owners = [self.prompts[one.prompt_id] for one in self.candidates]
        found = checked_rewards(rewards, owners, [one.answer for one in self.candidates])
        return [replace(one, reward=reward) for one, reward in zip(self.candidates, found.tolist())]


def _before(folder: Path, number: int) -> _Before:
    if number == 1:
        return _Before("", [], {})
    here = folder_of(folder, number - 1)
    if not (here / POOL).exists():
        raise ValueError(f"round {number} goes on from round {number - 1}, which is not in {folder}: run that first")
    header, candidates = read_candidates(here / CANDIDATES)
    return _Before(header["rewards"], candidates, read_prompts(here / PROMPTS))


@dataclass(frozen=True)
class _Round:
    """A round's folder, and what its steps have in common."""

    here: Path
    number: int
    policy: ChatModel
    rewards: Rewards
    rewards_name: str
    keep: Keep | None
    settings: RejectionSettings
    progress: Progress | None

    def binding(
        self, prompts: Sequence[Prompt], validation: Sequence[Prompt], replay: Sequence[Example]
    ) -> dict[str, Any]:
        """What must not change in a round, as JSON gives it back; how many rows are under way at once may."""
        given = {name: value for name, value in asdict(self.settings).items() if name != "max_rows"}
        return given | {
            "temperatures": list(self.settings.temperatures),
            "policy": self.policy.digest,
            "prompts": digest_of_prompts(prompts),
            "validation": digest_of_prompts(validation),
            "replay": digest_of(replay),
            "keep": self.keep is not None,
            "rewards": self.rewards_name,
        }

    def sampling(self, what: str, draw: int) -> dict[str, Any]:
        """Options of `sample_answers`: a round draws twice, and no two draws have the same seed."""
        s, progress = self.settings, self.progress
        counting = None if progress is None else lambda done, of: progress(what, done, of)
        return {
            "top_p": s.top_p,
            "max_tokens": s.max_tokens,
            "max_rows": s.max_rows,
            "seed": 2000 * s.seed + 2 * self.number + draw,
            "progress": counting,
        }

    def temperature(self, validation: Sequence[Prompt]) -> tuple[float, list[Row]]:
        """The temperature of the round, and the table that it was chosen by."""
        settings, path = self.settings, self.here / TEMPERATURES
        if len(settings.temperatures) == 1:
            return settings.temperatures[0], []
        if not validation:
            raise ValueError("a temperature is chosen on validation prompts: give some, or a single temperature")
        if path.exists():
            found = json.loads(path.read_bytes())
            return found["chosen"], found["table"]
        k, options = settings.validation_samples or settings.samples, self.sampling("answers to validation prompts", 0)
        table = temperature_table(
            self.policy, validation, self.rewards, settings.temperatures, k, folder=self.here, **options
        )
        write_json(path, {"chosen": chosen_temperature(table), "table": table})
        return chosen_temperature(table), table

    def candidates(self, prompts: Sequence[Prompt], temperature: float, before: _Before) -> list[Candidate]:
        """The candidates of all rounds so far, with this round's rewards."""
        path, k = self.here / CANDIDATES, self.settings.samples
        if path.exists():
            return read_candidates(path)[1]
        options = self.sampling("answers", 1) | {"journal": self.here / "answers.jsonl"}
        answers = sample_answers(self.policy, prompts, k=k, temperature=temperature, **options)
        new = scored(prompts, answers, self.rewards, number=self.number, temperature=temperature, keep=self.keep)
        same = before.rewards_name == self.rewards_name
        found = [*(before.candidates if same else before.rescored(self.rewards)), *new]
        write_prompts(self.here / PROMPTS, {**before.prompts, **{prompt.id: prompt for prompt in prompts}}.values())
        write_candidates(path, {"rewards": self.rewards_name}, found)
        return found
