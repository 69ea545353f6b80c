"""The judges of `--judge` by name, and a reader's own from a Python file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..common.given import DEFAULT_MODEL, load_llm

KINDS = ("longer", "shorter", "words:FILE", "loglikelihood:MODEL", "asked:MODEL", "FILE.py:NAME")


def judge_named(name: str, load: Callable[[str], Any] | None = None) -> Any:
    """A judge by its name.

    Parameters
    ----------
    name : str
        One of `KINDS`; a model that is not named is the default one.
    load : callable, optional
        name of a model -> LLM.

    Raises
    ------
    ValueError
        When there is none of that name, or the file has none.
    """
    from ...evaluation import preference
    from ...files.suggestions import did_you_mean

    load = load or (lambda model: load_llm(model, None, None, "fast", "float32"))
    kind, _, of = name.partition(":")
    if name == "longer":
        return preference.Rule(preference.longer_answer, name)
    if name == "shorter":
        return preference.Rule(lambda *pair: -preference.longer_answer(*pair), name)
    if kind == "words" and of:
        return preference.ScorerJudge(_word_rule(Path(of)), f"words:{Path(of).name}")
    if kind == "loglikelihood":
        scorer = preference.LogLikelihood(load(of or DEFAULT_MODEL))
        return preference.ScorerJudge(scorer, f"loglikelihood:{_short(of)}")
    if kind == "asked":
        return preference.AskedJudge(load(of or DEFAULT_MODEL), f"asked:{_short(of)}")
    path, _, attribute = name.rpartition(":")
    if path.endswith(".py"):
        return _own_judge(Path(path), attribute)
    known = [kind.partition(":")[0] for kind in KINDS[:-1]]
    raise ValueError(f"there is no judge {name!r}: {did_you_mean(name, known)}judges are {', '.join(KINDS)}")


def _short(model: str) -> str:
    return Path(model or DEFAULT_MODEL).name


def _word_rule(path: Path) -> Any:
    """Words from a file, one a line: -word takes a point away, any other (or +word) adds one; # begins a comment."""
    from ...evaluation.preference import WordRule
    from ...files.text import decode_text

    try:
        lines = [line.strip() for line in decode_text(path.read_bytes()).splitlines()]
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as text: {error}") from None
    words = [line for line in lines if line.strip("+- ") and not line.startswith("#")]
    if not words:
        raise ValueError(f"{path} has no words: expected one a line, -word for one that takes a point away")
    good = [word.removeprefix("+").strip() for word in words if not word.startswith("-")]
    return WordRule(good, [word.removeprefix("-").strip() for word in words if word.startswith("-")])


def _own_judge(path: Path, attribute: str) -> Any:
    """What a file has under a name: a judge, a scorer, or a function of (dialogue, first, second)."""
    from ...evaluation.preference import Rule, ScorerJudge

    found: Any = _module(path).get(attribute)
    name = f"{path.name}:{attribute}"
    if found is None:
        raise ValueError(f"{path} has nothing called {attribute!r}")
    if isinstance(found, type):
        found = found()
    if hasattr(found, "compare"):
        found.name = name
        return found
    if hasattr(found, "score"):
        return ScorerJudge(found, name)
    if callable(found):
        return Rule(found, name)
    raise ValueError(f"{name} is no judge: expected compare(dialogue, first, second), score(dialogue) or a function")


def _module(path: Path) -> Mapping[str, Any]:
    """The names of a Python file; it is run."""
    spec = importlib.util.spec_from_file_location("minillama_judge", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)
