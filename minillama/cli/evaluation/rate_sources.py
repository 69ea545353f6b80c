"""Where the pairs of `minillama eval rate` come from: models that answer, files of answers, files of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.given import load_llm

if TYPE_CHECKING:
    from ...evaluation.preference import Pair, PreferenceFolder

_NUMBERS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_p": float,
    "min_p": float,
    "repetition_penalty": float,
    "top_k": int,
    "max_tokens": int,
    "seed": int,
}
_TEXTS = ("template", "system_file")


@dataclass(frozen=True)
class Sources:
    """What the options name.

    Attributes
    ----------
    prompts, pairs : Path or None
    models : sequence of str
        [NAME=]MODEL[@key=value,…]
    answers : sequence of str
        NAME=FILE
    limit : int or None
        The first so many prompts.
    max_tokens, seed : int
        Of answers, where a model's own settings do not say.
    """

    prompts: Path | None = None
    pairs: Path | None = None
    models: Sequence[str] = ()
    answers: Sequence[str] = ()
    limit: int | None = None
    max_tokens: int = 512
    seed: int = 0


def given_pairs(folder: PreferenceFolder, sources: Sources, bar: Callable[[str], Any]) -> list[Pair]:
    """The pairs that the options name, kept in the folder; without any, those that it has."""
    from ...evaluation import preference

    if sources.pairs is not None:
        if sources.prompts or sources.models or sources.answers:
            raise ValueError("--pairs brings its prompts and answers: leave out --prompts, --model and --answers")
        return folder.keep_pairs(preference.read_pairs(sources.pairs, sources.limit))
    if sources.prompts is None:
        if sources.models or sources.answers:
            raise ValueError("--model and --answers need --prompts: what is answered")
        return folder.read_pairs()
    prompts = preference.read_prompts(sources.prompts, sources.limit)
    found: dict[str, dict[str, str]] = {}
    for name, path in map(_named_file, sources.answers):
        _add(found, name, preference.read_answers(path, prompts))
    for given in sources.models:
        name, model, answering = parse_system(given, sources.max_tokens, sources.seed)
        llm = load_llm(model, None, None, "fast", "float32")
        with bar(f"{name} answers") as progress:
            path = folder.answers(name)
            _add(found, name, preference.answer_prompts(llm, prompts, path, answering, progress=progress))
    return folder.keep_pairs(preference.pairs_between(prompts, found))


def _add(found: dict[str, dict[str, str]], name: str, answers: dict[str, str]) -> None:
    if name in found:
        raise ValueError(f"two systems are called {name}: give one another name, --model NAME=MODEL")
    found[name] = answers


def _named_file(given: str) -> tuple[str, Path]:
    name, _, path = given.partition("=")
    if not name or not path:
        raise ValueError(f"--answers takes NAME=FILE, got {given!r}")
    return name, Path(path)


def parse_system(given: str, max_tokens: int, seed: int) -> tuple[str, str, Any]:
    """Name, model and settings of [NAME=]MODEL[@key=value,key=value].

    Raises
    ------
    ValueError
        When a key is unknown or a value is no number where one belongs.
    """
    from ...evaluation.preference import Answering
    from ...files.text import decode_text
    from ...inference.sampling import Sampling

    before, _, after = given.partition("@")
    name, is_named, model = before.partition("=")
    values: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed}
    for part in filter(None, after.split(",")):
        key, _, value = part.partition("=")
        values[key] = _value(key, value, given)
    template, system_file = values.pop("template", None), values.pop("system_file", None)
    system = None if system_file is None else decode_text(Path(system_file).read_bytes()).strip()
    limit, seed = values.pop("max_tokens"), values.pop("seed")
    sampling = Sampling(**{"temperature": 0.0, **values})
    model = model if is_named else before
    if not model:
        raise ValueError(f"--model {given!r} names no model")
    label = name if is_named else Path(model).name + (f"@{after}" if after else "")
    return label, model, Answering(sampling, limit, seed, system, template)


def _value(key: str, value: str, given: str) -> Any:
    if key in _TEXTS and value:
        return value
    if key not in _NUMBERS:
        known = ", ".join([*_NUMBERS, *_TEXTS])
        raise ValueError(f"--model {given!r}: there is no setting {key!r}; settings are {known}")
    try:
        return _NUMBERS[key](value)
    except ValueError:
        raise ValueError(f"--model {given!r}: {key} should be a number, got {value!r}") from None
