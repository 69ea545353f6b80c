"""The paper's test (section 3.3, table 30): is what the first message set still there at turn 2, 4, 6, 20?

    turn 1 … t - 1    requests about other things, and what the model answers to them
    turn t            a question about a fact of the instruction, asked aside: the dialogue goes on without it

*Recall* is the share of these answers that name the fact, *style* the share that keep every style of the instruction;
style is also counted in the answers to the requests between. Where the instruction has no style, *added* counts answers
that keep one of other instructions: what a model does that has learned styles by heart. Questions are answered
greedily, requests sampled. The paper has people judge; here a program does (instructions.py).

The length of the dialogue in tokens stands beside every turn. A context that does not hold the last turn is an error:
a model would forget there for another reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..models import ChatModel
from ..rollouts.sampling import seed_of
from .context import check_fits
from .instructions import Mixture, Pools
from .journal import GroupJournal
from .scenes import Fillers, Scene, draw_question
from .synthesis import message_prompt
from .talks import Talks, closing_id, unended

TURNS = (2, 4, 6, 10, 20)


@dataclass(frozen=True)
class RetentionSettings:
    """How the test is made.

    Attributes
    ----------
    turns : tuple of int
        From 1, where the question follows the instruction at once.
    place : "first", "every" or "current"
        User messages that have the instruction. "first" is the test; the others say what a model does that is
        reminded.
    temperature : float
        Of the answers between the questions.
    max_tokens : int
        Of an answer.
    when_full : "error" or "stop"
        What happens to a dialogue that the context cannot hold; "stop" leaves its later turns out, and the table's n
        says so.
    at_once, seed : int
        See `SynthesisSettings`.
    """

    turns: tuple[int, ...] = TURNS
    place: Literal["first", "every", "current"] = "first"
    temperature: float = 0.3
    max_tokens: int = 80
    when_full: Literal["error", "stop"] = "error"
    at_once: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.turns or min(self.turns) < 1 or list(self.turns) != sorted(set(self.turns)):
            raise ValueError(f"turns must be numbers from 1 in ascending order, got {self.turns}")
        if self.place not in ("first", "every", "current"):
            raise ValueError(f'place must be "first", "every" or "current", got {self.place!r}')


@dataclass(frozen=True)
class Reply:
    """An answer at a turn of the test.

    Attributes
    ----------
    scene : str
        Its id.
    turn : int
        From 1.
    fact : str
        The kind of fact that was asked for; "" of a request between.
    question, answer : str
    tokens : int
        Of the dialogue up to this answer.
    """

    scene: str
    turn: int
    fact: str
    question: str
    answer: str
    tokens: int


def draw_tests(
    pools: Pools,
    fillers: Fillers,
    n: int,
    *,
    seed: int,
    last_turn: int = TURNS[-1],
    mixture: Mixture = Mixture(terse_share=0.0),  # noqa: B008 (frozen)
    group: str = "",
) -> list[Scene]:
    """`n` scenes of requests alone, each with a fact that can be asked for; number i is a function of seed and i."""
    scenes = []
    for i in range(n):
        rng = np.random.default_rng([seed, i, *group.encode()])
        instruction = mixture.draw(pools, rng)
        while not instruction.facts:
            instruction = mixture.draw(pools, rng)
        scenes.append(Scene(f"{group}-{i}", instruction, tuple(fillers(rng) for _ in range(last_turn)), group))
    return scenes


def measure_retention(
    model: ChatModel,
    scenes: Sequence[Scene],
    settings: RetentionSettings = RetentionSettings(),
    *,
    journal: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Reply]:
    """Answers at the turns of the test, by scene and turn; `retention_rows` counts them.

    Parameters
    ----------
    scenes : sequence of Scene
        Each with at least as many turns as the last one tested.
    journal, progress
        See `synthesise`.

    Raises
    ------
    ContextFullError
        When the context does not hold a tested turn, unless `when_full` is "stop".
    ValueError
        When a scene is too short or has no fact to ask for.
    """
    for scene in scenes:
        if not scene.instruction.facts or len(scene.turns) < settings.turns[-1]:
            raise ValueError(f"scene {scene.id} needs a fact to ask for, and {settings.turns[-1]} turns")
    groups = [scenes[i : i + settings.at_once] for i in range(0, len(scenes), settings.at_once)]

    def work(group: Sequence[Scene]) -> list[Mapping[str, Any]]:
        return [{"replies": [asdict(reply) for reply in replies]} for replies in _Test(model, group, settings).run()]

    found = GroupJournal(journal, model, {"retention": asdict(settings)}, scenes).run(groups, work, progress)
    return [Reply(**reply) for scene in scenes for reply in found[scene.id]["replies"]]


class _Test:
    """Dialogues side by side."""

    def __init__(self, model: ChatModel, scenes: Sequence[Scene], settings: RetentionSettings) -> None:
        self.model, self.scenes, self.settings = model, scenes, settings
        self.replies: list[list[Reply]] = [[] for _ in scenes]
        self.before: list[list[int]] = [[] for _ in scenes]
        self.going = list(range(len(scenes)))
        self.talks = Talks(model, len(scenes), temperature=settings.temperature, max_tokens=settings.max_tokens)

    def run(self) -> list[list[Reply]]:
        for turn in range(self.settings.turns[-1]):
            if turn + 1 in self.settings.turns:
                self._ask(turn)
            self._go_on(turn)
        return self.replies

    def _ask(self, turn: int) -> None:
        """A question to each, which leaves no trace in its dialogue."""
        asked = {}
        for i in self.going:
            rng = np.random.default_rng([self.settings.seed, turn, i, *self.scenes[i].id.encode()])
            asked[i] = draw_question(self.scenes[i].instruction, rng)
        prompts = {i: [*self.before[i], *self._prompt(i, turn, question.text)] for i, question in asked.items()}
        self._check_room(prompts, turn)
        prompts = {i: prompts[i] for i in self.going}
        for i, answer in self.talks.answers(prompts, dict.fromkeys(prompts, 0), greedy=True).items():
            self._note(i, turn, asked[i].fact, asked[i].text, prompts[i], answer)

    def _go_on(self, turn: int) -> None:
        """The request of this turn, answered; the instruction stays in the dialogue where its place is."""
        texts = {i: self.scenes[i].turns[turn].text for i in self.going}
        prompts = {i: [*self.before[i], *self._prompt(i, turn, text)] for i, text in texts.items()}
        self._check_room(prompts, turn)
        prompts = {i: prompts[i] for i in self.going}
        seeds = {i: seed_of(self.settings.seed, f"{self.scenes[i].id}/{turn}") for i in prompts}
        for i, answer in self.talks.answers(prompts, seeds).items():
            if turn + 1 in self.settings.turns:
                self._note(i, turn, "", texts[i], prompts[i], answer)
            end = [closing_id(self.model)] if unended(answer, self.model.stop_ids) else []
            stays = self.settings.place == "every" or (self.settings.place == "first" and turn == 0)
            kept = prompts[i][len(self.before[i]) :] if stays else message_prompt(self.model, turn, texts[i])
            self.before[i] += [*kept, *answer, *end]

    def _prompt(self, i: int, turn: int, text: str) -> list[int]:
        """The ids that a message adds, with the instruction where this turn has it."""
        has_it = turn == 0 or self.settings.place != "first"
        return message_prompt(self.model, turn, text, self.scenes[i].instruction.text if has_it else "")

    def _check_room(self, prompts: Mapping[int, Sequence[int]], turn: int) -> None:
        for i, ids in prompts.items():
            n_tokens = len(ids) + self.settings.max_tokens
            if self.settings.when_full == "error":
                check_fits(self.model, n_tokens, f"turn {turn + 1} of the test, with an answer,")
            elif n_tokens > self.model.config.max_seq_len:
                self.going.remove(i)

    def _note(self, i: int, turn: int, fact: str, text: str, prompt: Sequence[int], answer: Sequence[int]) -> None:
        n_tokens = len(prompt) + len(answer)
        self.replies[i].append(Reply(self.scenes[i].id, turn + 1, fact, text, self.model.text_of(answer), n_tokens))
