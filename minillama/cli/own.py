"""`minillama generate --with FOLDER`: the learner's functions in a real model, and what is said about them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, Timer, current_thread
from typing import TYPE_CHECKING

from .common.output import note

if TYPE_CHECKING:
    from ..learn.workspace.own_model import OwnOps
    from ..llm import LLM

_PROMPT = 32  # tokens of the prompt that speeds are measured after
_PATIENCE = 10.0  # seconds, after which it is said which function is running


class LearnersModel:
    """Makes a model run on the functions of a folder.

    The functions are checked in another process from the beginning, while this one loads the model.

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
        from ..learn.workspace.checker import Checker
        from ..learn.workspace.folder import find_workspace

        self._workspace, self._trace = find_workspace(folder), trace
        self._checker = None if unchecked else Checker()
        self._checked: OwnOps | Exception | None = None
        self._checking = Thread(target=self._check, args=(only, unchecked), daemon=True)
        self._checking.start()

    def _check(self, only: str | None, unchecked: bool) -> None:
        from ..learn.workspace.own_model import own_ops

        try:
            self._checked = own_ops(self._workspace, unchecked=unchecked, only=only, checker=self._checker)
        except Exception as error:
            self._checked = error

    def run_on(self, llm: LLM) -> None:
        """Put the functions into a model, and say which.

        Raises
        ------
        ValueError
            When no function in the folder can be used.
        """
        from ..learn.workspace.own_model import Tracer

        with self.patience(self._checking):
            self._checking.join()
        if isinstance(self._checked, Exception):
            raise self._checked
        assert self._checked is not None
        self.llm, self.own = llm, self._checked
        self.fast = llm.session()  # for the comparison at the end: made while the model is as it was loaded
        self.tracer = Tracer(self.own, llm.params) if self._trace else None
        llm.use_ops(self.own.ops if self.tracer is None else self.tracer.ops)
        for entry, id in self.own.used.items():
            note(f"{entry:<18} is your {id}")
        for id, reason in self.own.left_out.items():
            note(f"{id:<18} is left out: {reason}")

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
        """ "now f in line 12 of 05_rope.py" where the thread is in the learner's code; "" in a check's own process."""
        frame = sys._current_frames().get(thread.ident or 0)
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if self._workspace.folder.resolve() in path.resolve().parents:
                return f"now {frame.f_code.co_name} in line {frame.f_lineno} of {path.name}"
            frame = frame.f_back
        return ""

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
