"""Two answers to one prompt, by different systems: what is judged.

A *system* is whatever answered: a model, a model with other settings, a file. Which of the two answers a judge or a
person sees first (as A) is a function of a seed, the rater and the pair: the same after a restart, unknown to the
person, and as good as a coin over many pairs.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .prompts import Messages, Prompt, content_id, dialogue_of, prompt_of, with_ids
from .rows import Row, read_rows


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt.

    Attributes
    ----------
    id : str
        A hash of all that is below: a vote never counts for other answers than those that were judged.
    prompt : str
        The id of the prompt, over which intervals are drawn.
    dialogue : tuple of messages
    systems : (str, str)
    answers : (str, str)
        In the order of `systems`.
    better : 0, 1 or None
        Which is known to be better, where that is known: a test of judges.
    subset : str
        The part of a test of judges that it belongs to.
    """

    id: str
    prompt: str
    dialogue: Messages
    systems: tuple[str, str]
    answers: tuple[str, str]
    better: int | None = None
    subset: str = ""

    @property
    def is_same(self) -> bool:
        """Both answers are the same text: nothing to judge, a tie."""
        return self.answers[0] == self.answers[1]


def make_pair(
    prompt: Prompt, systems: tuple[str, str], answers: tuple[str, str], better: int | None = None, subset: str = ""
) -> Pair:
    """A pair with its id."""
    name = content_id([prompt.id, prompt.dialogue, systems, answers])
    return Pair(name, prompt.id, prompt.dialogue, systems, answers, better, subset)


def pairs_between(prompts: Sequence[Prompt], answers: Mapping[str, Mapping[str, str]]) -> list[Pair]:
    """Every two systems on every prompt.

    Parameters
    ----------
    prompts : sequence of Prompt
    answers : {system: {id of a prompt: answer}}

    Raises
    ------
    ValueError
        When there are not two systems, or one has no answer to a prompt.
    """
    if len(answers) < 2:
        raise ValueError(f"expected the answers of two systems or more, found {', '.join(answers) or 'none'}")
    for system, given in answers.items():
        if missing := [prompt.id for prompt in prompts if prompt.id not in given]:
            raise ValueError(f"{system} has no answer to {len(missing)} prompts, the first is {missing[0]}")
    return [
        make_pair(prompt, (one, other), (answers[one][prompt.id], answers[other][prompt.id]))
        for prompt in prompts
        for one, other in itertools.combinations(answers, 2)
    ]


def read_pairs(path: str | Path, limit: int | None = None) -> list[Pair]:
    """Pairs from a file: hh-rlhf's {"chosen", "rejected"}, or a prompt with {"answers": {system: answer, …}}.

    A chosen answer is known to be better, in the eyes of those who made the file: such a set tests judges.
    """
    rows = read_rows(path)[:limit]
    split = [_chosen_and_rejected(row) if "chosen" in row.values else _answered(row) for row in rows]
    prompts = with_ids((dialogue, row) for (dialogue, _, _), row in zip(split, rows))
    pairs = []
    for prompt, (_, answers, better) in zip(prompts, split):
        for one, other in itertools.combinations(answers, 2):
            pairs.append(make_pair(prompt, (one, other), (answers[one], answers[other]), better))
    return pairs


def _chosen_and_rejected(row: Row) -> tuple[Messages, dict[str, str], int]:
    dialogue, chosen, rejected = pair_of_chosen(row)
    return dialogue, {"chosen": chosen, "rejected": rejected}, 0


def pair_of_chosen(row: Row) -> tuple[Messages, str, str]:
    """Of a row {"chosen", "rejected"}, hh-rlhf's: the dialogue that both share, and the answers at their ends.

    Raises
    ------
    ValueError
        With file and line, when one is no dialogue, or they differ before their last answers.
    """
    ends = {}
    for key in ("chosen", "rejected"):
        try:
            *before, last = dialogue_of(row.values.get(key))
        except ValueError as error:
            row.fail(f"{key!r}: {error}")
        if last["role"] != "assistant":  # hh-rlhf has a few answers that are empty
            before, last = [*before, last], {"role": "assistant", "content": ""}
        ends[key] = (tuple(before), last["content"])
    (before_chosen, chosen), (before_rejected, rejected) = ends["chosen"], ends["rejected"]
    if before_chosen != before_rejected:
        row.fail("'chosen' and 'rejected' should differ in their last answer only")
    return before_chosen, chosen, rejected


def _answered(row: Row) -> tuple[Messages, dict[str, str], None]:
    answers = row.values.get("answers")
    if not isinstance(answers, dict) or len(answers) < 2 or not all(isinstance(a, str) for a in answers.values()):
        row.fail('expected "chosen" and "rejected", or "answers" with two or more texts by the name of their system')
    return prompt_of(row), answers, None


def first_shown(pair: Pair, rater: str, seed: int) -> int:
    """Which answer of the pair, 0 or 1, this rater sees first, as A."""
    return draw(seed, "order", rater, pair.id) & 1


def draw(seed: int, *parts: str) -> int:
    """A number that looks drawn, the same for the same arguments: at least 64 bits of a hash."""
    text = "\0".join([str(seed), *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def pair_as_row(pair: Pair) -> dict[str, Any]:
    """As it is kept in a file."""
    return {key: value for key, value in asdict(pair).items() if value not in (None, "")}


def pair_from_row(row: Row) -> Pair:
    """A pair as `pair_as_row` wrote it; its id is computed again, so that an edited file is noticed."""
    values = row.values
    try:
        prompt = Prompt(str(values["prompt"]), dialogue_of(values["dialogue"]))
        (one, other), (first, second) = values["systems"], values["answers"]
        pair = make_pair(prompt, (one, other), (first, second), values.get("better"), values.get("subset", ""))
    except (KeyError, TypeError, ValueError) as error:
        row.fail(f"expected a pair as minillama writes it: {error!r:.120}")
    if pair.id != values.get("id"):
        row.fail("the pair was changed since it was written: its votes belong to other texts")
    return pair
