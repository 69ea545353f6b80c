"""Dialogues for Ghost Attention: the instruction stands where the model sees it, and is taken away afterwards.

    sampled     [inst + u_1] a_1 [inst + u_2] a_2 … [inst + u_n] a_n         "every": as the paper (section 3.3) has it
                [u_1] a_1 [u_2] a_2 … [inst + u_n] a_n                       "current": the same for fewer tokens
                [inst + u_n] a_n                                             "alone": where no message refers back
    trained on  [inst + u_1] a_1 [u_2] a_2 … [u_n] a_n                       examples.py

Answers come from the latest model, and stay only where a rule holds: a program checks that they keep the styles and
name the facts they were asked for. Where it does not hold, another answer is drawn; or, with a scorer, several are
drawn and the best one that obeys stays (rejection sampling). After `tries` the dialogue ends before that turn.

Chat formats take a system message only at the beginning. There the instruction is one; in later messages it is joined
to the text as plain words. In "current" the earlier answers follow it anyway and say as much as it does: the same for
half the tokens at turn 10, and turn 20 fits into a context that "every" has filled by turn 12. A model of a few million
parameters that has seen system messages in single turns alone follows them there and loses them in long texts (of 14
turns it kept ten, in 1.8 draws an answer): "alone" asks every question as the first one. What is sampled so knows
nothing of the earlier turns, and is for messages that do not need them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..models import ChatModel
from ..rollouts.sampling import seed_of
from .journal import GroupJournal
from .scenes import Scene
from .talks import Talks, next_prompt, unended

Rule = Callable[[Scene, int, str], bool]
"""(scene, turn from 0, answer) -> whether the answer may stay."""

Score = Callable[[Scene, int, str], float]
"""(scene, turn from 0, answer) -> the higher the better."""


def obeys(scene: Scene, turn: int, answer: str) -> bool:
    """The answer keeps every style of the instruction and names the fact that was asked for."""
    check = scene.turns[turn].check
    return scene.instruction.kept_by(answer) and (check is None or check(answer))


@dataclass(frozen=True)
class SynthesisSettings:
    """How dialogues are answered.

    Attributes
    ----------
    place : "every", "current" or "alone"
        What an answer is sampled after: see the head of this file.
    temperature, top_p : float
    max_tokens : int
        Of an answer.
    tries : int
        Answers drawn for a turn at most; with a scorer, always.
    least_turns : int
        Shorter dialogues are dropped: with one turn there is nothing to remember.
    at_once : int
        Dialogues that are answered side by side, and kept on disk together.
    seed : int
    """

    place: Literal["every", "current", "alone"] = "every"
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 80
    tries: int = 4
    least_turns: int = 2
    at_once: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.place not in ("every", "current", "alone"):
            raise ValueError(f'place must be "every", "current" or "alone", got {self.place!r}')
        for name in ("max_tokens", "tries", "least_turns", "at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")


@dataclass
class Ghost:
    """A scene with its answers.

    Attributes
    ----------
    scene : Scene
    answers : list of list of int
        Ids as they were sampled, each with the id that ends it; they may be fewer than the scene has turns.
    ended : str
        Why they are: "disobeyed" (or none of the tries came to an end) or "no room"; "" where none is missing.
    draws : int
        Answers that were drawn.
    """

    scene: Scene
    answers: list[list[int]] = field(default_factory=list)
    ended: str = ""
    draws: int = 0


def synthesise(
    model: ChatModel,
    scenes: Sequence[Scene],
    settings: SynthesisSettings,
    *,
    rule: Rule = obeys,
    score: Score | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Ghost]:
    """Answer every turn of every scene, some dialogues at a time.

    Parameters
    ----------
    rule : callable
        Which answers stay.
    score : callable, optional
        `tries` answers are drawn to each turn, and the best that obeys stays.
    journal : Path, optional
        Keeps finished dialogues; with it a run that was killed goes on, and ends with the same ids.
    progress : callable, optional
        Told (dialogues done, dialogues in all).

    Returns
    -------
    list of Ghost
        Those with `least_turns` answers or more, in the order of the scenes.

    Raises
    ------
    ValueError
        When two scenes have the same id, or the journal is of other scenes, settings or weights.
    """
    longest_first = sorted(scenes, key=lambda scene: -len(scene.turns))  # of like length side by side
    groups = [longest_first[i : i + settings.at_once] for i in range(0, len(scenes), settings.at_once)]
    made_from = {"settings": asdict(settings), "scored": score is not None}

    def work(group: Sequence[Scene]) -> list[Mapping[str, Any]]:
        found = _Group(model, group, settings, rule, score).run()
        return [{"answers": ghost.answers, "ended": ghost.ended, "draws": ghost.draws} for ghost in found]

    found = GroupJournal(journal, model, made_from, scenes).run(groups, work, progress)
    ghosts = [Ghost(scene, **found[scene.id]) for scene in scenes]
    return [ghost for ghost in ghosts if len(ghost.answers) >= settings.least_turns]


class _Group:
    """Dialogues side by side."""

    def __init__(
        self, model: ChatModel, scenes: Sequence[Scene], settings: SynthesisSettings, rule: Rule, score: Score | None
    ) -> None:
        self.model, self.settings, self.rule, self.score = model, settings, rule, score
        self.ghosts = [Ghost(scene) for scene in scenes]
        self.before: list[list[int]] = [[] for _ in scenes]  # ids of the turns so far, as the next one sees them
        self.lengths = [0 for _ in scenes]  # of what will be learned
        self.talks = Talks(
            model,
            len(scenes),
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
        )

    def run(self) -> list[Ghost]:
        for turn in range(max((len(ghost.scene.turns) for ghost in self.ghosts), default=0)):
            self._answer(turn)
        return self.ghosts

    def _answer(self, turn: int) -> None:
        """Answer one turn of every dialogue that has come to it, in rounds."""
        under_way = [i for i, g in enumerate(self.ghosts) if len(g.scene.turns) > turn and not g.ended]
        best: dict[int, tuple[float, list[int]]] = {}
        for draw in range(self.settings.tries):
            asked = [i for i in under_way if not self.ghosts[i].ended and (self.score is not None or i not in best)]
            for i, answer in self._draw(asked, turn, draw).items():
                self._judge(i, turn, answer, best)
        for i in under_way:
            if i in best:
                self._keep(i, turn, best[i][1])
            elif self.ghosts[i].ended != "no room":
                self.ghosts[i].ended = self.ghosts[i].ended or "disobeyed"

    def _draw(self, asked: Sequence[int], turn: int, draw: int) -> dict[int, list[int]]:
        """An answer of each of these dialogues; those that have no room for one end."""
        prompts = {i: self._prompt(self.ghosts[i].scene, turn, self.before[i]) for i in asked}
        for i in [i for i, ids in prompts.items() if len(ids) >= self.model.config.max_seq_len]:
            self.ghosts[i].ended = "no room"
            del prompts[i]
        seeds = {i: seed_of(self.settings.seed, f"{self.ghosts[i].scene.id}/{turn}", draw) for i in prompts}
        return self.talks.answers(prompts, seeds)

    def _prompt(self, scene: Scene, turn: int, before: Sequence[int]) -> list[int]:
        said = scene.instruction.sentences
        if self.settings.place == "alone":
            return message_prompt(self.model, 0, scene.turns[turn].text, said)
        return [*before, *turn_prompt(self.model, scene, turn, said)]

    def _judge(self, i: int, turn: int, answer: list[int], best: dict[int, tuple[float, list[int]]]) -> None:
        ghost, text = self.ghosts[i], self.model.text_of(answer)
        ghost.draws += 1
        if unended(answer, self.model.stop_ids) or not self.rule(ghost.scene, turn, text):
            return
        score = 0.0 if self.score is None else self.score(ghost.scene, turn, text)
        if i not in best or score > best[i][0]:
            best[i] = score, answer

    def _keep(self, i: int, turn: int, answer: list[int]) -> None:
        scene = self.ghosts[i].scene
        prompt = turn_prompt(self.model, scene, turn, "" if turn else scene.instruction.text)
        self.lengths[i] += len(prompt) + len(answer)
        if self.lengths[i] > self.model.config.max_seq_len:
            self.ghosts[i].ended = "no room"
            return
        said = scene.instruction.sentences if self.settings.place == "every" else ""
        self.before[i] += [*turn_prompt(self.model, scene, turn, said), *answer]
        self.ghosts[i].answers.append(answer)


def turn_prompt(model: ChatModel, scene: Scene, turn: int, instruction: str = "") -> list[int]:
    """The ids that a turn's message adds to the conversation; see `message_prompt`."""
    return message_prompt(model, turn, scene.turns[turn].text, instruction)


def message_prompt(model: ChatModel, turn: int, text: str, instruction: str = "") -> list[int]:
    """The ids that a message adds as number `turn` from 0, with an instruction or, where that is empty, without.

    The first message has it as a system message, later ones before their text in plain words.
    """
    if turn == 0:
        system = [{"role": "system", "content": instruction}] if instruction else []
        return model.encode([*system, {"role": "user", "content": text}])
    said = [
        {"role": "user", "content": "Yes?"},
        {"role": "assistant", "content": "Yes."},
    ]  # any: only what is new counts
    return next_prompt(model, [*said, {"role": "user", "content": f"{instruction} {text}".strip()}])
