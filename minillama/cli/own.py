"""`--with FOLDER` of `generate` and `train`: the learner's functions in a real model, and what is said about them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread, Timer, current_thread
from typing import TYPE_CHECKING, Generic, TypeVar

from .common.output import note

if TYPE_CHECKING:
    from ..learn.workspace.checker import Checker
    from ..learn.workspace.folder import Workspace
    from ..learn.workspace.own_model import OwnOps
    from ..learn.workspace.own_training import OwnTraining
    from ..llm import LLM
    from ..training.functions import Functions

T = TypeVar("T")

_PROMPT = 32  # tokens of the prompt that speeds are measured after
_PATIENCE = 10.0  # seconds, after which it is said which function is running


class Checking(Generic[T]):
    """The functions of a folder, checked in another process from now on, while this one does something else.

    Parameters
    ----------
    folder : Path
    unchecked : bool
        Take what is not checked, too.
    use : callable
        use(workspace, unchecked=..., checker=...) -> what is asked for: `own_ops`, for example.

    Raises
    ------
    ValueError
        When it is not a folder of exercises.
    """

    def __init__(self, folder: Path, unchecked: bool, use: Callable[..., T]) -> None:
        from ..learn.workspace.checker import Checker
        from ..learn.workspace.folder import find_workspace

        self._workspace: Workspace = find_workspace(folder)
        self._checker: Checker | None = None if unchecked else Checker()
        self._found: T | Exception | None = None
        self._thread = Thread(target=self._check, args=(use, unchecked), daemon=True)
        self._thread.start()

    def _check(self, use: Callable[..., T], unchecked: bool) -> None:
        try:
            self._found = use(self._workspace, unchecked=unchecked, checker=self._checker)
        except Exception as error:
            self._found = error

    def result(self) -> T:
        """What there is to use.

        Raises
        ------
        ValueError
            When no function in the folder can be used.
        """
        with self.patience(self._thread):
            self._thread.join()
        if isinstance(self._found, Exception):
            raise self._found
        assert self._found is not None
        return self._found

    @contextmanager
    def patience(self, thread: Thread | None = None) -> Iterator[None]:
        """Say so when it takes long, and where a thread, by default this one, is: a loop may have no end."""
        watched = thread or current_thread()

        def say() -> None:
            if place := self._place_of(watched):
                note(f"your functions take more than {_PATIENCE:g} seconds, {place}; Ctrl-C stops a loop without end")
            else:
                note("your functions are still being checked; each is stopped where it takes too long")

        timer = Timer(_PATIENCE, say)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _place_of(self, thread: Thread) -> str:
        """Where the thread is in the learner's code; "" in a check's own process."""
        from ..learn.workspace.blame import place_of_frame

        place = place_of_frame(sys._current_frames().get(thread.ident or 0), self._workspace.folder)
        return place and f"now {place}"

    @contextmanager
    def blaming(self) -> Iterator[None]:
        """An error in the learner's code as one sentence that says where."""
        from ..learn.workspace.blame import place_of_error

        try:
            yield
        except Exception as error:
            if place := place_of_error(error, self._workspace.folder):
                raise ValueError(f"your {place}: {type(error).__name__}: {error}") from error
            raise


def name_functions(used: Mapping[str, str], left_out: Mapping[str, str]) -> None:
    """Say which functions are the learner's, and which are not used and why."""
    width = max(18, *map(len, [*used, *left_out]))
    for entry, id in used.items():
        note(f"{entry:<{width}} is your {id}")
    for id, reason in left_out.items():
        note(f"{id:<{width}} is left out: {reason}")


class LearnersModel:
    """Makes a model run on the functions of a folder.

    Parameters
    ----------
    folder : Path
    only : str, optional
    unchecked, trace : bool

    Raises
    ------
    ValueError
        When it is not a folder of exercises.
    """

    def __init__(self, folder: Path, *, only: str | None, unchecked: bool, trace: bool) -> None:
        from ..learn.workspace.own_model import own_ops

        self._trace = trace
        self._checking: Checking[OwnOps] = Checking(folder, unchecked, partial(own_ops, only=only))
        self.patience = self._checking.patience

    def run_on(self, llm: LLM) -> None:
        """Put the functions into a model, and say which.

        Raises
        ------
        ValueError
            When no function in the folder can be used.
        """
        from ..learn.workspace.own_model import Tracer

        self.llm, self.own = llm, self._checking.result()
        self.fast = llm.session()  # for the comparison at the end: made while the model is as it was loaded
        self.tracer = Tracer(self.own, llm.params) if self._trace else None
        llm.use_ops(self.own.ops if self.tracer is None else self.tracer.ops)
        name_functions(self.own.used, self.own.left_out)

    def report(self, ids: list[int], *, quiet: bool) -> None:
        """After the text: how fast it was beside the package, and the first difference if traced."""
        from ..learn.workspace.own_model import speeds
        from ..ops import REFERENCE

        if self.tracer is not None:
            found = self.tracer.found
            if found is None:
                note("every call of your functions agreed with the reference")
            else:
                note(f"{found.text}\nnext: minillama learn check {found.exercise}")
            return
        if quiet:
            return
        yours = self.llm.session()
        self.llm.use_ops(REFERENCE)
        sessions = {"yours": yours, "reference": self.llm.session(), "fast": self.fast}
        shown = ", ".join(f"{name} {rate:.1f}" for name, rate in speeds(sessions, ids[:_PROMPT]).items())
        note(f"one token at a time, tokens/s: {shown}")


class LearnersTraining:
    """What a run computes with: the functions of a folder that pass their checks.

    Parameters
    ----------
    folder : Path
    unchecked : bool
    n_micro : int
        In how many parts a batch is computed.
    """

    def __init__(self, folder: Path, *, unchecked: bool, n_micro: int) -> None:
        from ..learn.workspace.own_training import own_training

        self._checking: Checking[OwnTraining] = Checking(folder, unchecked, partial(own_training, n_micro=n_micro))
        self.blaming = self._checking.blaming

    def functions(self) -> Functions:
        """Those functions, after saying which they are."""
        own = self._checking.result()
        name_functions(own.used, own.left_out)
        if own.missing:
            note(f"the package's own: {', '.join(own.missing)}")
        note("your functions are slower than the package's: each line below says how much time is left")
        return own.functions
