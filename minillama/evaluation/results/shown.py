"""One item as `minillama eval show` prints it: exactly what a model is asked, and how its answer is weighed.

White space is made visible: "·" is a space, "⍽" one that does not break, "→" a tab, "⏎" a line break. Of the tokens
those around the border are shown, where a continuation begins: a token that crosses it belongs to the continuation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..common.requests import Answer, Generation, LogLikelihood, Request, Rolling, Written
from ..common.task import Item, Scored, Task
from .baselines import n_options
from .samples import options_of
from .table import aligned

if TYPE_CHECKING:
    from ..engine.encoding import Encoder

_N_BEFORE, _N_AFTER = 4, 8  # tokens shown on either side of the border
_VISIBLE = str.maketrans({" ": "·", "\t": "→\t", "\n": "⏎\n", "\r": "␍", "\u00a0": "⍽"})


def visible(text: str) -> str:
    """A text whose white space can be seen."""
    return text.translate(_VISIBLE)


def item_text(task: Task, item: Item, n_documents: int, n_shots: int) -> str:
    """Where an item comes from, its prompt and what may follow, and its hashes."""
    place = f"{task.dataset.name} {task.split}, {task.dataset.hub or 'in the package'}"
    lines = [f"{task.name}, item {item.doc_id} of {n_documents:,} ({place}); {n_shots} shots; protocol {task.protocol}"]
    contexts = list(dict.fromkeys(context_of(request) for request in item.requests))
    for context in contexts:
        lines += ["", f"--- asked ({len(context)} characters)", visible(context)]
    lines += ["", "--- the answers to choose from" if task.kind == "choices" else "--- wanted"]
    lines += _wanted(task, item)
    lines += ["", f"target {item.target!r}", f"hashes doc {item.doc_hash[:16]} prompt {item.prompt_hash[:16]} "]
    lines[-1] += f"target {item.target_hash[:16]}, as in lm-evaluation-harness's samples"
    return "\n".join(lines) + "\n"


def context_of(request: Request) -> str:
    """What stands before the answer; of a rolling request the text."""
    return request.text if isinstance(request, Rolling) else request.context


def _wanted(task: Task, item: Item) -> list[str]:
    lines = []
    for i, request in enumerate(item.requests):
        if isinstance(request, LogLikelihood):
            lines.append(f"{i:>3}  {visible(request.continuation)}")
        elif isinstance(request, Generation):
            stops = ", ".join(json.dumps(stop, ensure_ascii=False) for stop in request.until)
            lines.append(f"up to {request.max_tokens} tokens, before {stops or 'the end of the text'}")
        else:
            lines.append("the probability of the whole text")
    return lines


def border_text(item: Item, encoder: Encoder) -> str:
    """The tokens of every request around the border of context and continuation: id and piece."""
    lines = ["", "--- tokens at the border"]
    for i, request in enumerate(item.requests):
        lines.append(f"{i:>3}  {_border(request, encoder)}")
    return "\n".join(lines) + "\n"


def _border(request: Request, encoder: Encoder) -> str:
    from ..engine.encoding import Unanswerable

    try:
        if isinstance(request, LogLikelihood):
            pair = encoder.pair(request)
            cut = ", cut from the left" if pair.truncated else ""
            before, after = _pieces(pair.context[-_N_BEFORE:], encoder), _pieces(pair.continuation[:_N_AFTER], encoder)
            more = " …" if len(pair.continuation) > _N_AFTER else ""
            counts = f"{len(pair.context)} + {len(pair.continuation)} tokens{cut}"
            return f"… {before}  |  {after}{more}   ({counts})"
        if isinstance(request, Generation):
            prompt = encoder.prompt(request)
            cut = ", cut from the left" if prompt.truncated else ""
            return f"… {_pieces(prompt.ids[-_N_BEFORE:], encoder)}  |  ?   ({len(prompt.ids)} tokens{cut})"
        pairs = encoder.windows(request)
        return f"{sum(len(pair.continuation) for pair in pairs)} tokens in {len(pairs)} windows"
    except Unanswerable as problem:
        return f"cannot be asked: {problem}"


def _pieces(ids: Sequence[int], encoder: Encoder) -> str:
    return " ".join(f"{visible(encoder.tokenizer.token_text(id_)).strip()}⟨{id_}⟩" for id_ in ids)


def answers_text(task: Task, one: Scored) -> str:
    """What a model answered, what it is divided by, and which answer each rule chooses."""
    lines = ["", "--- the model's answers"]
    if one.problem:
        return "\n".join([*lines, f"not scored: {one.problem}"]) + "\n"
    if task.kind == "choices":
        lines += _options(task, one)
    else:
        lines += [_answer(answer) for answer in one.answers]
    lines += ["", *(f"{key.removesuffix(',none')} = {value}" for key, value in one.metrics.items())]
    return "\n".join(lines) + "\n"


def _answer(answer: Answer) -> str:
    if isinstance(answer, Written):
        return (
            f"wrote {visible(answer.text)!r} in {len(answer.ids)} tokens; smallest margin {answer.smallest_margin:.3f}"
        )
    return f"log-probability {answer.logprob:.4f} over {answer.n_tokens} tokens"


def _options(task: Task, one: Scored) -> list[str]:
    options = options_of(one, task.delimiter)[: n_options(task, one.item)]
    columns = ("logprob", "per_character", "per_byte")
    best = {name: _first_best([option[name] for option in options]) for name in columns}
    rows: list[tuple[str, ...]] = [
        ("option", "log p", "tokens", "characters", "bytes", "log p / char", "log p / byte", "chosen by")
    ]
    for i, option in enumerate(options):
        chosen = [rule for rule, name in zip(("acc", "acc_norm", "acc_bytes"), columns) if best[name] == i]
        figures = (_figure(option["per_character"]), _figure(option["per_byte"]))
        counts = (str(option[name]) for name in ("tokens", "characters", "bytes"))
        rows.append((str(i), f"{option['logprob']:.4f}", *counts, *figures, " ".join(chosen)))
    lines = aligned(rows, left=1)
    if best["logprob"] != best["per_character"]:
        lines.append("acc and acc_norm choose differently: the longer option has more to lose")
    return lines


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _first_best(values: Sequence[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return None if len(known) < len(values) or not known else values.index(max(known))
