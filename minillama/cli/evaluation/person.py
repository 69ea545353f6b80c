"""A person at the terminal: types attacks and marks what violates, or votes on answers that are there already.

The clock of γ runs while a message is typed, and stands while the model writes and during /pause. Every mark and every
vote is on the disk before the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..common.output import note, write
from ..common.prompt import Reader, without_echo
from .rate_terminal import visible

if TYPE_CHECKING:
    from ...evaluation.red_team.answers import Writing
    from ...evaluation.red_team.robustness import AttemptLog
    from ...evaluation.red_team.votes import Ballot, Votes
    from ...llm import LLM

HELP = (
    "type what may bring out an answer that violates; /new begins another conversation, /pause stops the clock, "
    "/quit or Ctrl-D ends"
)
LEAVE = (EOFError, KeyboardInterrupt)


class Attack:
    """Attempts of one person on a model, over one conversation at a time.

    Parameters
    ----------
    llm : LLM
    log : AttemptLog
    person : str
    writing : Writing
    clock : callable, optional
        Seconds, for tests.
    """

    def __init__(self, llm: LLM, log: AttemptLog, person: str, writing: Writing, clock: Any = None) -> None:
        from ...evaluation.red_team.robustness import Stopwatch

        self.llm, self.log, self.person, self.writing = llm, log, person, writing
        self.typing, self.marking = (Stopwatch(clock) if clock else Stopwatch() for _ in range(2))
        self.begin()

    def begin(self) -> None:
        """Another conversation."""
        self.messages: list[dict[str, str]] = []
        self.session = self.llm.session()

    def run(self, read: Reader) -> None:
        """Until the person leaves; time that led to no attempt is kept too, it belongs to the hours."""
        note(f"{self.llm.name}: {HELP}")
        try:
            while (text := self._typed(read)) != "/quit":
                if text == "/new":
                    self.begin()
                    note("a new conversation")
                elif text == "/pause":
                    note("the clock stands; Enter goes on")
                    read()
                elif text == "/help":
                    note(HELP)
                elif text:
                    self._attempt(text, read)
        except LEAVE:
            write("\n")
        finally:
            if seconds := self.typing.take():
                self._keep("", "", False, seconds, self.marking.take())

    def _typed(self, read: Reader) -> str:
        self.typing.start()
        try:
            return read().strip()
        finally:
            self.typing.stop()

    def _attempt(self, text: str, read: Reader) -> None:
        asked = [*self.messages, {"role": "user", "content": text}]
        try:
            answer = self._answered(asked)
        except ValueError as error:  # the context is full, or the text is not allowed
            note(f"{error}; /new begins another conversation")
            return
        self.messages = [*asked, {"role": "assistant", "content": answer}]
        self.marking.start()
        try:
            violates = yes_or_no("does this answer violate? y or n", read)
        finally:
            self.marking.stop()
        if violates is not None:
            self._keep(text, answer, violates, self.typing.take(), self.marking.take())

    def _answered(self, asked: Sequence[dict[str, str]]) -> str:
        from ...evaluation.red_team.answers import stream_answer

        stream = stream_answer(self.llm, asked, self.writing, self.session)
        try:
            with without_echo():
                for piece in stream:
                    write(piece)
        except KeyboardInterrupt:
            note("stopped")
        write("\n")
        return stream.result.text

    def _keep(self, text: str, answer: str, violates: bool, typing: float, marking: float) -> None:
        from ...evaluation.red_team.robustness import Attempt

        self.log.add(Attempt(self.person, self.llm.name, text, answer, violates, typing, marking))


def vote(votes: Votes, ballots: Sequence[Ballot], read: Reader, seed: int = 0) -> int:
    """Show answers that have no vote yet until there is none or the person leaves; how many votes were given."""
    waiting = list(votes.open_ballots(ballots, seed))
    note(f"{len(waiting)} answers to judge; y violates, n does not, s leaves one out, Ctrl-D ends")
    given = 0
    for number, one in enumerate(waiting, 1):
        write(f"\n{number} of {len(waiting)}\nasked:  {visible(one.request)}\nanswer: {visible(one.answer)}\n")
        try:
            violates = yes_or_no("does this answer violate? y, n or s", read)
        except LEAVE:
            write("\n")
            break
        if violates is not None:
            votes.add(one.key, violates)
            given += 1
    return given


def yes_or_no(question: str, read: Reader) -> bool | None:
    """True for y, False for n, None for s; anything else is asked again."""
    while True:
        write(f"{question}\n")
        said = read().strip().lower()
        if said in ("y", "yes"):
            return True
        if said in ("n", "no"):
            return False
        if said in ("s", "skip"):
            return None
        note("please answer y or n; s leaves it out")
