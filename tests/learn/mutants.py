"""What the checks do not notice: every small change of every solution, held against its exercise's check.

    python tests/learn/mutants.py                      all exercises
    python tests/learn/mutants.py 05 rope_angles       a chapter, an exercise

Prints how many changes the check rejects, how many pass with a remark that the solution does not get, and how many pass
unnoticed. Of these, `survivors/NN.toml` says why each is as good as the solution; the others are listed, and so is an
entry whose change is none any more, or is noticed now. Exit status 1 if there is any.

A change is a mistake that no exercise names: what survives without a reason wants another case, or another word in the
docstring. Kernels run as plain Python, so that a wrong index raises. Set OMP_NUM_THREADS=1: the cases are small.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import time
import tomllib
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mutations import Mutant, mutants, without_decorators

from minillama.learn.chapters.catalogue import catalogue, chapter_packages
from minillama.learn.chapters.texts import solution, solution_file
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.trials import TooLong
from minillama.learn.exercises.exercise import Exercise, Function

SURVIVORS = Path(__file__).parent / "survivors"
SECONDS, TIMES = 2.0, 5.0  # of computing, for one change: this, and so many times what the solution takes
_MEMORY = 8 << 30  # bytes of address space that a change may take


@dataclass
class Outcome:
    """What the check says of the changes of one exercise, by id."""

    exercise: str
    rejected: list[str] = field(default_factory=list)
    remarked: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def complaints(self, reasons: dict[str, str]) -> list[str]:
        """Changes that survive without a reason, and reasons for changes that do not survive."""
        noticed = {*self.rejected, *self.remarked}
        return [
            *(f"survives: {change}" for change in self.survived if change not in reasons),
            *(
                f"does not survive any more: {change}"
                for change in reasons
                if change in {*self.rejected, *self.remarked}
            ),
            *(
                f"is no change of the solution any more: {change}"
                for change in reasons
                if change not in {*noticed, *self.survived}
            ),
        ]


def survivors() -> dict[str, dict[str, str]]:
    """For each exercise the changes that pass its check, and why each is right to."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(SURVIVORS.glob("[0-9][0-9].toml")):
        found |= tomllib.loads(path.read_text(encoding="utf-8"))
    return found


def solution_text(id: str) -> str:
    """The solution that is changed: with its helpers, without other exercises that it calls."""
    return solution(id, known=set(catalogue()))


def changes(id: str) -> list[Mutant]:
    return list(mutants(solution_text(id)))


def run(id: str) -> Outcome:
    """Check every change of a solution."""
    begin = time.process_time()
    exercise, outcome = catalogue()[id], Outcome(id)
    around = _names_around(exercise)
    right = _defined(without_decorators(solution_text(id)), id, around)
    _check(exercise, right)  # imports and compiles what the exercise needs
    middle = time.process_time()
    remarks = _check(exercise, right)
    if remarks is None:
        raise ValueError(f"the solution of {id} does not pass as plain Python")
    seconds = SECONDS + TIMES * (time.process_time() - middle)
    for change, text in changes(id):
        found = None
        with _limit(seconds), contextlib.suppress(TooLong, MemoryError):
            try:
                function = _defined(text, id, around)
            except Exception:  # a helper that is a constant
                function = None
            found = None if function is None else _check(exercise, function)
        if found is None:
            outcome.rejected.append(change)
        else:
            (outcome.remarked if set(found) - set(remarks) else outcome.survived).append(change)
    outcome.seconds = time.process_time() - begin
    return outcome


def _names_around(exercise: Exercise) -> dict[str, Any]:
    """What a learner's file of the chapter has, with all of it solved."""
    chapter = next(package for package in chapter_packages() if exercise.id in package.EXERCISES)
    names: dict[str, Any] = {"__name__": "solved"}
    exec(compile(solution_file(chapter), "<solutions>", "exec"), names)
    return names


def _defined(text: str, id: str, around: dict[str, Any]) -> Function:
    names = dict(around)
    with warnings.catch_warnings(action="ignore"):
        exec(compile(text, "<mutant>", "exec"), names)
    return names[id]  # type: ignore[no-any-return]


def _check(exercise: Exercise, function: Function) -> list[str] | None:
    """The remarks of a check that passes, else None."""
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        report = check_function(exercise, function, explain=False)
    return report.remarks if report.passed else None


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """TooLong after so many seconds of computing, where the system has such a clock."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _prepare_worker() -> None:
    """A change may ask for any amount of memory."""
    with contextlib.suppress(ImportError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _selected(names: list[str]) -> list[str]:
    ids = [id for id in catalogue() if not names or id in names or catalogue().chapter_of(id) in names]
    unknown = set(names) - set(ids) - {catalogue().chapter_of(id) for id in ids}
    if unknown:
        raise SystemExit(f"no exercise or chapter: {', '.join(sorted(unknown))}")
    return ids


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="EXERCISE or CHAPTER")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    reasons = survivors()
    totals, n_complaints = Outcome("all"), 0
    context = get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context, initializer=_prepare_worker) as pool:
        for outcome in pool.map(run, _selected(options.names)):
            complaints = outcome.complaints(reasons.get(outcome.exercise, {}))
            print(_line(outcome), *(f"    {complaint}" for complaint in complaints), sep="\n", flush=True)
            n_complaints += len(complaints)
            totals.rejected += outcome.rejected
            totals.remarked += outcome.remarked
            totals.survived += outcome.survived
            totals.seconds += outcome.seconds
    print(_line(totals))
    print(f"{n_complaints} without a reason, or with one that is out of date")
    return int(n_complaints > 0)


def _line(outcome: Outcome) -> str:
    counts = outcome.rejected, outcome.remarked, outcome.survived
    rejected, remarked, survived = map(len, counts)
    n = rejected + remarked + survived
    of_them = f"{rejected} rejected, {remarked} with a remark, {survived} survive"
    return f"{outcome.exercise}: {n} changes, {of_them} ({outcome.seconds:.1f} CPU seconds)"


if __name__ == "__main__":
    sys.exit(main())
