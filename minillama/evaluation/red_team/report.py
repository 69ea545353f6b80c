"""The report of an exercise: Markdown to be read, and the same figures as JSON.

Violations and false refusals stand in one row, every share with its interval and its counts; figures of this project's
own classifiers are called so; ten answers are there to be checked by hand, since a classifier of refusals is wrong
now and then in ways that only reading shows.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from . import rates
from .exercise import Exercise
from .rates import FEW, Group, Judged, Rate
from .robustness import Robustness
from .violations import OWN_MEASURE

TO_CHECK = 10
_SHOWN = 300  # characters of a text

NOTES = (
    "Word rules and the harmful-text classifier see words, not whether an answer helps: one that complies in mild "
    "words is no violation for them. Their rates are too low as a rule, and the share that was not refused is too "
    "high; a person's votes (--person) or a reward model (--scorer) say what lies between.",
    "The paper's violation rate is the majority of three people on about 2000 prompts; the judges here are others, so "
    "its figures (4 to 5 % for Llama 2-Chat) are no neighbours of these.",
    "Refusals are found by a small classifier trained here, toxicity by a harmful-text classifier: each is "
    f"{OWN_MEASURE}. Of 555 held-out answers two of three that the first calls refusals are some, and it misses one "
    "of three; it reads short answers (“Not anymore.”) as refusals too often.",
    "Truthfulness is measured by `minillama eval run --tasks truthfulqa_mc1,truthfulqa_mc2`: multiple choice, another "
    "measure than the paper's, which has answers generated and judged by fine-tuned models.",
    "Word rules, harmful-text and refusal classifiers know English: for answers in other languages their rates are too "
    "low.",
    "Prompts of hh-harmless were written as attacks and count as unsafe; some of them are harmless.",
)


def write_report(exercise: Exercise) -> Path:
    """Put report.md, report.json and items.jsonl into the exercise's folder; returns the path of the first."""
    report = json.dumps(as_json(exercise), indent=2, ensure_ascii=False) + "\n"
    items = "".join(json.dumps(_row(item), ensure_ascii=False) + "\n" for item in exercise.items)
    for name, text in (("report.md", as_markdown(exercise)), ("report.json", report), ("items.jsonl", items)):
        with atomic_write(exercise.folder / name) as file:
            file.write(text.encode("utf-8", "replace"))
    return exercise.folder / "report.md"


def as_json(exercise: Exercise) -> dict[str, Any]:
    """Figures of an exercise, without the texts of answers (those are in items.jsonl)."""
    judges = [name for name, _ in exercise.judges]
    tables = {"suites": rates.by_suite, "categories": rates.by_category, "attacks": rates.by_attack}
    return {
        "model": exercise.settings,
        "seed": exercise.seed,
        "chat_template": exercise.has_template,
        "judges": dict(exercise.judges),
        **{name: [_group(one) for one in make(exercise.items, judges)] for name, make in tables.items()},
        "robustness": None if exercise.robustness is None else _robustness(exercise.robustness),
        "notes": [*NOTES, *_warnings(exercise)],
    }


def as_markdown(exercise: Exercise) -> str:
    """The report as a page."""
    judges = [name for name, _ in exercise.judges]
    items, settings = exercise.items, exercise.settings
    how = "greedy" if settings["temperature"] == 0 else f"temperature {settings['temperature']:g}"
    parts = [
        f"# Red team: {settings['name']}",
        f"{len(items)} answers, {how}, at most {settings['max_tokens']} tokens, seed {exercise.seed}. "
        "Shares with 95 % intervals (Wilson) and counts.",
        *(f"- **{name}**: {about}." for name, about in exercise.judges),
        "## Violations and false refusals, by suite, without an attack",
        _table("suite", rates.by_suite(items, judges), judges),
        "## By attack",
        _table("attack", rates.by_attack(items, judges), judges),
        "## By category, without an attack",
        _table("suite · category", rates.by_category(items, judges), judges),
        *_robustness_part(exercise.robustness),
        "## What these figures are not",
        "\n".join(f"- {note}" for note in (*NOTES, *_warnings(exercise))),
        *_worst_part(exercise, judges),
        f"## {TO_CHECK} answers to check by hand",
        "Does the classifier's word on each agree with yours? It says only refusal or no refusal.",
        *(_checked(item) for item in _to_check(exercise)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, groups: Sequence[Group], judges: Sequence[str]) -> str:
    """Rates as a Markdown table."""
    violations = [f"violations of unsafe: {judge}" for judge in judges]
    heads = [title, *violations, "refused of unsafe", "false refusals of safe", "the same by string match", "toxic"]
    rows = [
        [
            " · ".join(_cell(name) for name in group.name if name) or "(none)",
            *(_share(group.violations[judge]) for judge in judges),
            *map(_share, (group.refusals, group.false_refusals, group.matched_false_refusals, group.toxic)),
        ]
        for group in groups
    ]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(rate: Rate) -> str:
    """ "4.5 % [2.1, 9.2] (5/110)", with a mark where there are few."""
    if not rate.n:
        return "–"
    low, high = rate.interval
    few = " ⚠" if rate.n < FEW else ""
    return f"{100 * rate.share:.1f} % [{100 * low:.1f}, {100 * high:.1f}] ({rate.hits}/{rate.n}){few}"


def _warnings(exercise: Exercise) -> list[str]:
    """What a reader must know about these items."""
    judges = [name for name, _ in exercise.judges]
    found = []
    groups = rates.by_suite(exercise.items, judges) + rates.by_attack(exercise.items, judges)
    sizes = {n for group in groups for n in (group.refusals.n, group.false_refusals.n) if 0 < n < FEW}
    if sizes:
        found.append(f"⚠ stands where fewer than {FEW} items were judged: such an interval says little.")
    if not exercise.has_template:
        found.append(
            "The model has no chat template: it was given the turns as lines of text, which it continued. It neither "
            "follows requests nor refuses them; the figures say what comes out of it, not how well it is aligned."
        )
    empty = sum(not item.answer for item in exercise.items)
    if empty:
        found.append(f"{empty} answers are empty: the model ended at once, or the request did not fit its context.")
    waiting = sum(verdict is None for item in exercise.items for verdict in item.verdicts.values())
    if waiting:
        found.append(f"{waiting} answers wait for a person's vote and are in no rate of that column.")
    return found


def _robustness_part(found: Robustness | None) -> list[str]:
    if found is None:
        return []
    low, high = found.interval
    return [
        "## Robustness γ",
        f"γ = {found.gamma:.2f} violating prompts per hour of a person's thinking and typing (95 % interval "
        f"{low:.2f} to {high:.2f}): {found.violations} of {found.attempts} attempts by {found.people} "
        f"{'person' if found.people == 1 else 'people'} in {found.hours:.2f} hours. With the time of reading and "
        f"marking {found.gamma_with_marking:.2f}. The paper's γ is the average number of prompts per person per hour "
        "that trigger a violating answer (1.8 at first, 0.45 at last, for 7B); its people were experts, and its clock "
        "is not described.",
    ]


def _worst_part(exercise: Exercise, judges: Sequence[str]) -> list[str]:
    parts: list[str] = []
    for judge in judges:
        if worst := rates.worst_items(exercise.items, judge):
            parts.append(f"## Worst answers for the judge “{judge}”")
            parts += [_quoted(item, f"{item.prompt.suite} {item.prompt.id}, attack {item.attack}") for item in worst]
    return parts


def _to_check(exercise: Exercise) -> Iterable[Judged]:
    """Answers drawn with the seed: half of them refusals for the classifier, as far as there are any."""
    draw = random.Random(exercise.seed)
    refusals = [item for item in exercise.items if item.refuses]
    others = [item for item in exercise.items if not item.refuses]
    n_refusals = min(len(refusals), max(TO_CHECK // 2, TO_CHECK - len(others)))
    chosen = draw.sample(refusals, n_refusals)
    chosen += draw.sample(others, min(len(others), TO_CHECK - n_refusals))
    draw.shuffle(chosen)
    return chosen


def _checked(item: Judged) -> str:
    word = "refusal" if item.refuses else "no refusal"
    return _quoted(item, f"{word}, p = {item.refusal:.2f}; {item.prompt.label} prompt of {item.prompt.suite}")


def _quoted(item: Judged, about: str) -> str:
    return f"- {about}\n  - asked: {_cell(item.request)}\n  - answer: {_cell(item.answer)}"


def _cell(text: str) -> str:
    """A text on one line that Markdown leaves alone."""
    line = " ".join(text.split())
    line = line if len(line) <= _SHOWN else line[:_SHOWN] + " …"
    for sign in "\\`*_|<>[]":
        line = line.replace(sign, "\\" + sign)
    return line


def _group(group: Group) -> dict[str, Any]:
    fields = group._asdict()
    names = [name for name in fields if name not in ("name", "violations")]
    violations = {judge: _rate(rate) for judge, rate in group.violations.items()}
    return {"name": list(group.name), "violations": violations, **{name: _rate(fields[name]) for name in names}}


def _rate(rate: Rate) -> dict[str, Any]:
    share = rate.share if rate.n else None
    return {"count": rate.hits, "n": rate.n, "share": share, "low": rate.interval.low, "high": rate.interval.high}


def _robustness(found: Robustness) -> dict[str, Any]:
    """JSON knows neither nan nor infinity: null stands for them."""
    row = {**found._asdict(), "interval": list(found.interval)}
    row["interval"] = [value if math.isfinite(value) else None for value in row["interval"]]
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _row(item: Judged) -> dict[str, Any]:
    """An item as a JSON object."""
    row = asdict(item)
    row["prompt"] = {key: value for key, value in row["prompt"].items() if key != "translations"}
    row["verdicts"] = {name: None if found is None else found._asdict() for name, found in item.verdicts.items()}
    return row
