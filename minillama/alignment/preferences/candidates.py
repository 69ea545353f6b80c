"""What is compared: two answers to a prompt, from two variants of a model at different temperatures (section 3.2.1).

    answer A   model 0, temperature drawn from the list          answer B   model 1 (or 0 again), another of the list

"To maximize diversity, the two responses to a given prompt are sampled from two different model variants, and varying
the temperature." Temperatures and answers are functions of the seed and the prompt alone. Answers are kept in a
journal, some prompts at a time: after `kill -9` those that it holds are not sampled again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...evaluation.preference.prompts import content_id
from ...files.atomic import atomic_write
from ...files.journal import Journal
from ...files.lock import open_locked
from ...trees import named_leaves
from ..models import ChatModel, Prompt
from ..rollouts import sample_answers
from ..rollouts.sampling import Answer, seed_of

CANDIDATES, SETTINGS = "candidates.jsonl", "settings.json"


@dataclass(frozen=True)
class SamplingSettings:
    """How candidates are drawn.

    Attributes
    ----------
    temperatures : tuple of float
        Two or more; the two answers to a prompt have different ones.
    top_p : float
    max_tokens : int
        Of an answer.
    seed : int
    chunk : int
        Prompts between two lines of the journal; not a setting of the result.
    """

    temperatures: tuple[float, ...] = (0.5, 0.7, 0.9, 1.1)
    top_p: float = 1.0
    max_tokens: int = 160
    seed: int = 0
    chunk: int = 256

    def __post_init__(self) -> None:
        if len(set(self.temperatures)) < 2 or not all(t > 0 for t in self.temperatures):
            raise ValueError(f"expected two different temperatures or more, all above 0; got {self.temperatures}")


@dataclass(frozen=True)
class Candidate:
    """An answer that may be compared.

    Attributes
    ----------
    text : str
    ids : tuple of int
        With its end, where it came to it.
    ended : bool
    model : int
        Which of the variants gave it.
    temperature : float
    """

    text: str
    ids: tuple[int, ...]
    ended: bool
    model: int
    temperature: float


@dataclass(frozen=True)
class Candidates:
    """Two answers to a prompt."""

    prompt: Prompt
    a: Candidate
    b: Candidate

    @property
    def are_same(self) -> bool:
        """The same text twice: there is nothing to prefer."""
        return self.a.text == self.b.text


def temperatures_of(settings: SamplingSettings, prompt: Prompt) -> tuple[float, float]:
    """Those of answers A and B."""
    rng = np.random.default_rng([settings.seed, seed_of(0, prompt.id)])
    a, b = rng.choice(len(settings.temperatures), 2, replace=False)
    return settings.temperatures[a], settings.temperatures[b]


def sample_candidates(
    models: Sequence[ChatModel],
    prompts: Sequence[Prompt],
    folder: Path,
    settings: SamplingSettings = SamplingSettings(),
    *,
    second: Callable[[Prompt], Prompt] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Candidates]:
    """Two answers to every prompt, kept in `folder`.

    Parameters
    ----------
    models : sequence of one or two ChatModel
    prompts : sequence of Prompt
        No two with the same id.
    folder : Path
        Made if it is not there. Going on in it needs the same models, prompts and settings.
    second : callable, optional
        What answer B is asked in a prompt's place: the prompt behind a pre-prompt makes another variant of a model.
    progress : callable, optional
        Told (prompts done, prompts in all).

    Raises
    ------
    ValueError
        When there are not one or two models, ids come twice, or the folder holds the answers of others.
    """
    if len(models) not in (1, 2):
        raise ValueError(f"expected one or two models to sample from, got {len(models)}")
    by_id = {prompt.id: prompt for prompt in prompts}
    if len(by_id) != len(prompts):
        raise ValueError(f"expected prompts with different ids, found {len(by_id)} ids of {len(prompts)} prompts")
    folder.mkdir(parents=True, exist_ok=True)
    with open_locked(folder / ".lock", "samples answers"):
        _claim(folder / SETTINGS, models, prompts, settings, second)
        with Journal(folder / CANDIDATES) as journal:
            found = {row["prompt"]: row for row in map(json.loads, journal.lines())}
            waiting = [prompt for prompt in prompts if prompt.id not in found]
            for start in range(0, len(waiting), settings.chunk):
                if progress is not None:
                    progress(len(found), len(prompts))
                rows = _sampled(models, waiting[start : start + settings.chunk], settings, second)
                journal.append(*rows)
                found |= {row["prompt"]: row for row in rows}
    if progress is not None:
        progress(len(prompts), len(prompts))
    return [Candidates(prompt, *(_candidate(found[prompt.id][side]) for side in "ab")) for prompt in prompts]


def _sampled(
    models: Sequence[ChatModel],
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    second: Callable[[Prompt], Prompt] | None,
) -> list[Any]:
    """A row of the journal for every prompt; what has the same model and temperature is sampled together."""
    rows: dict[str, dict[str, Any]] = {prompt.id: {"prompt": prompt.id} for prompt in prompts}
    for side, name in enumerate("ab"):
        for temperature in settings.temperatures:
            some = [prompt for prompt in prompts if temperatures_of(settings, prompt)[side] == temperature]
            answers = sample_answers(
                models[side % len(models)],
                some if second is None or side == 0 else list(map(second, some)),
                temperature=temperature,
                top_p=settings.top_p,
                seed=2 * settings.seed + side,
                max_tokens=settings.max_tokens,
            )
            for prompt, (answer,) in zip(some, answers):
                rows[prompt.id][name] = asdict(_of_answer(answer, side % len(models), temperature))
    return list(rows.values())


def _of_answer(answer: Answer, model: int, temperature: float) -> Candidate:
    return Candidate(answer.text, tuple(map(int, answer.ids)), answer.ended, model, temperature)


def _candidate(row: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**row, "ids": tuple(row["ids"])})


def _claim(
    path: Path,
    models: Sequence[ChatModel],
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    second: Callable[[Prompt], Prompt] | None,
) -> None:
    """Say whose answers the folder holds, or refuse where they are others'."""
    wanted = {key: value for key, value in asdict(settings).items() if key != "chunk"}
    wanted["temperatures"] = list(settings.temperatures)
    wanted |= {"models": [_digest(model) for model in models]}
    wanted |= {"prompts": content_id([[prompt.id, prompt.dialogue] for prompt in prompts])}
    if second is not None:
        wanted |= {"second": content_id([second(prompt).dialogue for prompt in prompts])}
    if not path.exists():
        with atomic_write(path) as file:
            file.write((json.dumps(wanted, indent=2) + "\n").encode())
    elif (there := json.loads(path.read_text())) != wanted:
        differ = ", ".join(key for key in wanted if there.get(key) != wanted[key])
        raise ValueError(
            f"{path.parent} was begun with other {differ}: go on with the same as then, or take another folder; "
            "nothing can be added to one that has begun"
        )


def _digest(model: ChatModel) -> str:
    digest = hashlib.sha256()
    for name, leaf in named_leaves(model.params):
        digest.update(name.encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]
