"""The report of a set of pairs: Markdown, and one HTML page that loads nothing from anywhere. Both say the same."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..statistics.intervals import Interval
from .agreement import Agreement
from .llmbar import Accuracy
from .outcomes import Comparison, Share
from .pairs import Pair
from .ranking import Ranking
from .results import Results
from .votes import Vote

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8886; padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom-width: 2px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: 0.6rem; border-radius: 0.4rem; }
"""


@dataclass(frozen=True)
class Table:
    """Columns with a name each, rows of texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Quoted:
    """What a model wrote, or a person."""

    text: str


Block = Heading | Table | Quoted | str


def report_blocks(
    results: Results, pairs: Sequence[Pair], votes: Sequence[Vote], settings: Mapping[str, Any]
) -> list[Block]:
    """What the report says, in order."""
    same = f"; pairs with the same answer twice, which are ties: {results.n_same}" if results.n_same else ""
    blocks: list[Block] = [f"{results.n_pairs} pairs of answers to {results.n_prompts} prompts{same}."]
    blocks += [Heading("Win, tie and loss"), *_comparison_blocks(results.comparisons)]
    if results.rankings:
        blocks += [Heading("Ranking (Bradley-Terry)"), *_ranking_blocks(results.rankings)]
    if results.agreement:
        blocks += [Heading("Agreement of raters (Gwet's AC2, ordinal weights)"), agreement_table(results.agreement)]
    for rater, rows in results.accuracy.items():
        blocks += [Heading(f"Accuracy of {rater}, where the better answer is known"), accuracy_table(rows)]
    warnings = [f"{c.rater}: {warning}" for c in results.comparisons for warning in c.warnings]
    if warnings or results.problems:
        blocks += [Heading("How far to trust this"), *dict.fromkeys([*warnings, *results.problems])]
    blocks += _examples(pairs, votes)
    shown = [f"{name}: {value}" for name, value in settings.items()]
    return [*blocks, Heading("Settings"), Quoted("\n".join(shown))]


def accuracy_table(rows: Iterable[Accuracy]) -> Table:
    """A judge on the subsets of a test of judges."""
    columns = ("subset", "pairs", "accuracy (95 %)", "same verdict in both orders (95 %)", "ties", "first one wins")
    return Table(
        columns,
        [
            (
                row.subset or "all",
                str(row.n) + (f" ({row.n_problems} verdicts missing)" if row.n_problems else ""),
                _with_interval(row.accuracy, row.interval),
                _with_interval(row.orders_agree, row.orders_interval),
                _percent(row.ties),
                _percent(row.first_wins),
            )
            for row in rows
        ],
    )


def agreement_table(found: Mapping[str, Agreement]) -> Table:
    columns = ("raters", "AC2 (95 %)", "observed", "by chance", "pairs that two or more rated")
    rows = []
    for name, a in found.items():
        interval = f"{_number(a.interval.low)} to {_number(a.interval.high)}"
        value = f"{_number(a.value)} ({interval})"
        rows.append((name, value, _number(a.observed), _number(a.by_chance), str(a.n_items)))
    return Table(columns, rows)


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The report as Markdown; what models wrote stands in it as it is, indented."""
    return "\n\n".join([f"# {_plain(title)}", *map(_block_as_markdown, blocks)]) + "\n"


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """The report as one page; every text is escaped."""
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body><main>\n<h1>{name}</h1>\n"
        + "\n".join(map(_block_as_html, blocks))
        + "\n</main></body></html>\n"
    )


def _comparison_blocks(comparisons: Sequence[Comparison]) -> list[Block]:
    if not comparisons:
        return ["No votes yet."]
    return [
        "The win rate counts ties half. Intervals are of 95 %, over prompts: a bootstrap from 100 on, Wilson's below.",
        Table(
            ("systems", "rater", "pairs", "win", "tie", "loss", "win rate (95 %)"),
            [
                (" : ".join(c.systems), c.rater, str(c.n_pairs), *(_of(s) for s in (c.win, c.tie, c.loss)), _of(c.rate))
                for c in comparisons
            ],
        ),
        "What may have to do with it: the length of answers, the place where they were shown.",
        Table(
            ("systems", "rater", "mean characters", "longer one wins", "first shown wins", "both orders agree"),
            [
                (
                    " : ".join(c.systems),
                    c.rater,
                    f"{c.lengths[0]:.0f} : {c.lengths[1]:.0f}",
                    *(_of(s) for s in (c.longer_wins, c.first_wins, c.orders_agree)),
                )
                for c in comparisons
            ],
        ),
        *_person_blocks([c for c in comparisons if c.rating is not None]),
    ]


def _person_blocks(comparisons: Sequence[Comparison]) -> list[Block]:
    """The seven points, and what was called unsafe."""
    if not comparisons:
        return []
    rows = []
    for c in comparisons:
        rating = c.rating or c.rate
        interval = f"{_signed(rating.interval.low)} to {_signed(rating.interval.high)}"
        unsafe = ["not asked"] * 2 if c.unsafe is None else [_of(share) for share in c.unsafe]
        rows.append((" : ".join(c.systems), c.rater, f"{_signed(rating.value)} ({interval})", *unsafe))
    columns = ("systems", "rater", "mean of the scale, -3 to 3 (95 %)", "first unsafe", "second unsafe")
    return ["Persons' ratings: 3 is the first much better, -3 the second.", Table(columns, rows)]


def _ranking_blocks(rankings: Mapping[str, Ranking]) -> list[Block]:
    rows, notes = [], []
    for rater, ranking in rankings.items():
        for place, s in enumerate(ranking.standings, 1):
            interval = f"{_signed(s.interval.low)} to {_signed(s.interval.high)}"
            rows.append((s.system, rater, str(place), f"{_signed(s.strength)} ({interval})", f"{s.wins:g} of {s.n}"))
        notes += [f"{rater}: {note}" for note in ranking.notes]
    table = Table(("system", "rater", "place", "strength (95 %)", "comparisons won, ties half"), rows)
    return ["Strength is the log of the odds against a system of mean strength.", table, *notes]


def _examples(pairs: Sequence[Pair], votes: Sequence[Vote], most: int = 5) -> list[Block]:
    """The pairs on which raters differ most: where to look first."""
    by_pair: dict[str, list[float]] = {}
    for vote in votes:
        if vote.preference is not None:
            by_pair.setdefault(vote.pair, []).append(math.copysign(1, vote.preference) if vote.preference else 0.0)
    spread = {pair.id: max(by_pair[pair.id]) - min(by_pair[pair.id]) for pair in pairs if by_pair.get(pair.id)}
    chosen = [pair for pair in sorted(pairs, key=lambda pair: -spread.get(pair.id, 0)) if spread.get(pair.id, 0) > 0]
    blocks: list[Block] = [Heading("Pairs on which verdicts differ")] if chosen else []
    for pair in chosen[:most]:
        said = "\n".join(f"{message['role']}: {message['content']}" for message in pair.dialogue)
        blocks += [f"Prompt {pair.prompt}", Quoted(said)]
        for system, answer in zip(pair.systems, pair.answers):
            blocks += [f"{system}:", Quoted(answer)]
    return blocks


def _of(share: Share) -> str:
    return _with_interval(share.value, share.interval)


def _with_interval(value: float, interval: Interval) -> str:
    if math.isnan(value):
        return "–"
    if math.isnan(interval.low):
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}"


def _block_as_markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"## {_plain(block.text)}"
    if isinstance(block, Quoted):
        return "\n".join("    " + line for line in block.text.splitlines() or [""])
    if isinstance(block, Table):
        line = "|" + "---|" + "---:|" * (len(block.columns) - 1)
        rows = ["| " + " | ".join(map(_plain, row)) + " |" for row in [block.columns, *block.rows]]
        return "\n".join([rows[0], line, *rows[1:]])
    return _plain(block)


def _plain(text: str) -> str:
    """A text in Markdown that means only itself."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in " ".join(text.split()))


def _block_as_html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h2>{html.escape(block.text)}</h2>"
    if isinstance(block, Quoted):
        return f"<pre>{html.escape(block.text)}</pre>"
    if isinstance(block, Table):
        head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in block.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in block.rows
        )
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'
    return f"<p>{html.escape(block)}</p>"
