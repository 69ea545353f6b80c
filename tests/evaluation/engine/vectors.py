"""Items of lm-evaluation-harness 0.4.13 with what it answered, from files that are not part of the project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minillama.evaluation.common.requests import Generation, LogLikelihood, Request, Rolling


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of one file."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def names_of(folder: Path) -> list[str]:
    """The files with items of tasks."""
    return sorted(path.stem for path in folder.glob("*.jsonl") if path.stem != "edges")


def requests_of(row: Mapping[str, Any]) -> Iterator[tuple[Request, Any]]:
    """The requests of an item, each with what the harness answered: a log-likelihood, or the row itself."""
    is_chat = bool(row.get("chat_template"))
    if "text" in row:
        yield Rolling(row["text"]), row["ll"]
    elif "continuations" in row:
        prompts = row.get("prompts") or [row["prompt"]] * len(row["continuations"])
        for prompt, continuation, ll in zip(prompts, row["continuations"], row["ll"]):
            yield LogLikelihood(prompt, continuation, is_chat), ll
    else:
        most = row.get("gen_kwargs", {}).get("max_gen_toks", 256)
        yield Generation(row["prompt"], tuple(row["until"]), most, is_chat), row


def edge_request(row: Mapping[str, Any]) -> Request:
    """An edge case as a request."""
    if row["kind"] == "loglikelihood":
        return LogLikelihood(row["context"], row["continuation"])
    if row["kind"] == "rolling":
        return Rolling(row["text"])
    until = row["kwargs"]["until"]
    return Generation(
        row["prompt"], (until,) if isinstance(until, str) else tuple(until), row["kwargs"]["max_gen_toks"]
    )
