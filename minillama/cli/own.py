"""`minillama generate --with FOLDER`: the learner's functions in a real model, and what is said about them."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from .output import note

if TYPE_CHECKING:
    from ..learn.workspace.own_model import OwnOps
    from ..llm import LLM

_PROMPT = 32  # tokens of the prompt that speeds are measured after


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

    def report(self, ids: list[int], *, quiet: bool) -> None:
        """After the text: how fast it was beside the package, and the first difference if traced."""
        from ..learn.workspace.own_model import speeds
        from ..ops import REFERENCE

        if self.tracer is not None:
            found = self.tracer.found
            note("every call of your functions agreed with the reference" if found is None else found.text)
            return
        if quiet:
            return
        yours = self.llm.session()
        self.llm.use_ops(REFERENCE)
        sessions = {"yours": yours, "reference": self.llm.session(), "fast": self.fast}
        shown = ", ".join(f"{name} {rate:.1f}" for name, rate in speeds(sessions, ids[:_PROMPT]).items())
        note(f"one token at a time, tokens/s: {shown}")
