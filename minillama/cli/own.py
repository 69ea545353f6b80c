"""`minillama generate --with FOLDER`: the learner's functions in a real model, and what is said about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .output import note

if TYPE_CHECKING:
    from ..inference.session import Session
    from ..llm import LLM
    from ..ops import Ops

_PROMPT = 32  # tokens of the prompt that speeds are measured after


class LearnersModel:
    """Makes a model run on the functions of a folder.

    Parameters
    ----------
    llm : LLM
        Its table of operations is replaced.
    folder : Path
    only : str, optional
    unchecked, trace : bool

    Raises
    ------
    ValueError
        When it is not a folder of exercises, or no function in it can be used.
    """

    def __init__(self, llm: LLM, folder: Path, *, only: str | None, unchecked: bool, trace: bool) -> None:
        from ..learn.own_model import Tracer, own_ops
        from ..learn.workspace import find_workspace

        self.llm = llm
        self.own = own_ops(find_workspace(folder), unchecked=unchecked, only=only)
        self.tracer = Tracer(self.own, llm.config.n_layers) if trace else None
        llm.run_on(self.own.ops if self.tracer is None else self.tracer.ops)
        for entry, id in self.own.used.items():
            note(f"{entry:<18} is your {id}")
        for id, reason in self.own.left_out.items():
            note(f"{id:<18} is left out: {reason}")

    def report(self, ids: list[int], *, quiet: bool) -> None:
        """After the text: how fast it was beside the package, and the first difference if traced."""
        from ..learn.own_model import speeds
        from ..llm import LLM

        if self.tracer is not None:
            found = self.tracer.found
            note("every call of your functions agreed with the reference" if found is None else found.text)
            return
        if quiet:
            return
        params, config = self.llm.params, self.llm.config

        def session(ops: Ops) -> Session:
            return LLM(params, config, None, ops=ops).session()

        rates = speeds(self.own, session, ids[:_PROMPT])
        shown = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        note(f"one token at a time, tokens/s: {shown}")
