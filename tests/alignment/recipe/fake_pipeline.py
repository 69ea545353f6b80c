"""Three steps that learn nothing: files, a journal, and a tiny training run, which are what real steps are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minillama.alignment.recipe.pipeline import Context, RecipeFolder, Step, run_pipeline
from minillama.files.journal import Journal

LINES = 5


class Quiet:
    """Is told all, and remembers which steps there were."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.notes: list[str] = []

    def begin(self, number: int, n_steps: int, name: str) -> None:
        self.begun.append(name)

    def progress(self, done: int, total: int, text: str) -> None: ...

    def end(self, spent: Any, figures: Any) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def draw(context: Context) -> dict[str, Any]:
    """Lines drawn by seed and number, into a journal that is taken up where it ended."""
    with Journal(context.file("lines.jsonl")) as journal:
        begun = sum(1 for _ in journal.lines())
        for n in range(begun, LINES):
            value = float(np.random.default_rng([context.settings["seed"], n]).random())
            journal.append({"n": n, "value": value})
            context.progress(n + 1, LINES, "drawing")
    return {"lines": LINES}


def total(context: Context) -> dict[str, Any]:
    """A file of what an earlier step drew."""
    rows = [json.loads(line) for line in (context.of("draw") / "lines.jsonl").read_text().splitlines()]
    context.once("sum.json", lambda path: path.write_text(json.dumps(sum(row["value"] for row in rows))))
    return {"sum": json.loads(context.file("sum.json").read_text())}


def halves(context: Context) -> dict[str, Any]:
    """A folder of two files, which is whole or not there."""

    def write(folder: Path) -> None:
        folder.mkdir()
        value = json.loads((context.of("total") / "sum.json").read_text())
        for name in ("one", "two"):
            (folder / name).write_text(repr(value / 2))

    context.once("model", write)
    return {}


STEPS = (Step("draw", draw), Step("total", total, ("draw",)), Step("halves", halves, ("draw", "total")))


def run(
    path: Path,
    *,
    steps: Any = STEPS,
    stop: Any = lambda: False,
    until: str | None = None,
    seen: Quiet | None = None,
    made_with: Any = lambda name: {},
) -> tuple[Any, Quiet]:
    """Run the pipeline, or what is left of it."""
    folder, seen, resume = RecipeFolder(path), seen or Quiet(), "the same --resume"
    with folder.lock():
        folder.begin("[recipe]\nseed = 3\n")
        given = {"threads": 1, "until": until, "stop": stop, "resume_command": resume, "made_with": made_with}
        ended = run_pipeline(steps, folder, {"seed": 3}, seen, **given)
    return ended, seen


def contents(path: Path) -> dict[str, bytes]:
    """Every file but those that hold seconds; markers by their figures."""
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_dir() or file.name in (".lock", "seconds.jsonl"):
            continue
        name = str(file.relative_to(path))
        raw = file.read_bytes()
        found[name] = json.dumps(json.loads(raw)["figures"]).encode() if file.name == "done.json" else raw
    return found
