"""What the report card shows, in order: from card.json to headings, tables and charts.

A *stage* is a model that a step left behind. The sections stand on what the card has: one that was not measured, as
when a run ended early, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import charts
from .bars import bar_rows, met_of
from .page import Block, Chart, Heading, Quoted, Table

Card = Mapping[str, Any]

_NO_CHARTS = "Charts are drawn by matplotlib, which was missing when this page was made: pip install matplotlib."


_NO_READER = (
    "Left out: fluency under SmolLM2-135M, which is not on this machine (a report fetches nothing): minillama pull "
    "smollm2-135m-instruct brings it, 93 MB; without the folder of the report, --resume makes it again."
)


def card_blocks(card: Card) -> list[Block]:
    """All sections that the card has."""
    blocks: list[Block] = [*card.get("about", ())]
    if not charts.can_plot():
        blocks.append(_NO_CHARTS)
    for part in (
        _rates,
        _bars,
        _wins,
        _rewards,
        _kl,
        _best_of_n,
        _adherence,
        _reward_models,
        _samples,
        _seconds,
        _all_rates,
    ):
        blocks += part(card)
    return [*blocks, Heading("Settings"), Quoted(card["settings"])]


def _said(card: Card, section: str, text: str) -> str:
    """What stands under a heading: what the card says, as where no program judges, or the text of the story world."""
    said: Mapping[str, str] = card.get("said", {})
    return said.get(section, text)


# --- the table of the stages -------------------------------------------------------------


def _rates(card: Card) -> Iterable[Block]:
    stages = card.get("stages", ())
    if not stages:
        return
    yield Heading("What each stage changed")
    n = max((one["n"] for stage in stages for one in stage["rates"].values()), default=0)
    yield _said(
        card,
        "rates",
        f"Requests of the test split, which nothing was chosen by; up to {n:,} answers a figure, judged without noise. "
        "Small or in brackets: the 95 % interval. The last column is the chat model, as it is in its file (Q8_0).",
    )
    if "reader" in card and card["reader"]["name"] is None:
        yield _NO_READER
    yield _stage_table(
        stages, [name for name in card.get("main", ()) if name in _measures(stages)] or _measures(stages)
    )


def _all_rates(card: Card) -> Iterable[Block]:
    """The measures that the first table leaves out."""
    stages = card.get("stages", ())
    left = [name for name in _measures(stages) if name not in card.get("main", ())]
    if stages and left and card.get("main"):
        yield Heading("All other measures")
        yield _stage_table(stages, left)


def _measures(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for stage in stages for name in stage["rates"]))


def _stage_table(stages: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> Table:
    """A row a measure, a column a stage."""
    rows = [[_words(name), *(_figure_cell(stage["rates"].get(name)) for stage in stages)] for name in measures]
    return Table(["", *(stage["name"] for stage in stages)], rows)


def _figure_cell(one: Mapping[str, float] | None) -> str:
    if one is None or not one["n"]:
        return "–"
    if one.get("share", True):
        text = f"{100 * one['value']:.1f} %"
        return f"{text}\n{100 * one['low']:.0f}–{100 * one['high']:.0f}" if "low" in one else text
    digits = 2 if abs(one["value"]) >= 1 else 3  # nats a byte, and shares without an interval
    text = f"{one['value']:.{digits}f}"
    has_interval = one.get("low") != one.get("high")
    return f"{text}\n{one['low']:.{digits}f}–{one['high']:.{digits}f}" if has_interval else text


def _bars(card: Card) -> Iterable[Block]:
    if not (rows := bar_rows(card)):
        return
    met, n = met_of(rows)
    yield Heading("Beside what was aimed at")
    yield (
        f"The aims are those of the preset story, for the mean of three seeds; this is one run: {met} of {n} are met. "
        f"SFT is the stage {card.get('first', 'before')}, the last is the chat model's file. Small or in brackets: the "
        "95 % interval."
    )
    names = [stage["name"] for stage in card["stages"]]
    yield Table(["", "aim", f"SFT ({card.get('first', names[0])})", names[-1], "met"], rows)


def _wins(card: Card) -> Iterable[Block]:
    if not card.get("wins"):
        return
    yield Heading("Win rates")
    yield _said(
        card,
        "wins",
        "How often the judge prefers the later stage's answer to the same request; a tie is half a win. "
        "Intervals are clustered by request.",
    )
    rows = [
        [
            f"{one['b']} against {one['a']}",
            one["kind"],
            f"{100 * one['rate']:.1f} %",
            f"{100 * one['low']:.1f}–{100 * one['high']:.1f}",
            f"{one['n']:,}",
        ]
        for one in card["wins"]
    ]
    yield Table(["", "requests", "wins", "95 %", "pairs"], rows)


# --- rewards -----------------------------------------------------------------------------


def _rewards(card: Card) -> Iterable[Block]:
    if not card.get("rewards"):
        return
    yield Heading("Rewards")
    stages = card["rewards"]
    kinds = list(next(iter(stages.values())))
    middle = {name: {kind: _quantiles(found[kind]) for kind in kinds} for name, found in stages.items()}
    if charts.can_plot():
        said = "; ".join(
            f"{name}: " + ", ".join(f"{kind} median {found[kind][1]:.2f}" for kind in kinds)
            for name, found in middle.items()
        )
        caption = "Scores of the test answers by the last reward models: middle half, and 5 to 95 %."
        yield Chart(charts.reward_chart(stages), caption, said)
    rows = [
        [name, *(f"{low:.2f} / {m:.2f} / {high:.2f}" for low, m, high in found.values())]
        for name, found in middle.items()
    ]
    yield Table(["quarter / median / three quarters", *kinds], rows)


def _quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return at(0.25), at(0.5), at(0.75)


def _kl(card: Card) -> Iterable[Block]:
    rows = card.get("kl", ())
    if not rows:
        return
    yield Heading("PPO: reward against KL")
    described = "; ".join(f"KL {row['kl']:.2f}: reward {row['reward']:.2f}" + _truth(row) for row in rows)
    if charts.can_plot():
        yield Chart(charts.kl_chart(rows), "Validation requests, over the iterations of PPO.", described)
    columns = ["iteration", *(name for name in rows[0] if name != "iteration")]
    yield Table(
        [_words(name) for name in columns],
        [
            [str(int(row["iteration"])), *(f"{row[name]:.3f}" if name in row else "–" for name in columns[1:])]
            for row in rows
        ],
    )


def _truth(row: Mapping[str, float]) -> str:
    return f", truth {row['truth']:.2f}" if "truth" in row else ""


def _best_of_n(card: Card) -> Iterable[Block]:
    for name, one in card.get("best_of_n", {}).items():
        rows, rank = one["rows"], one["rank"]
        yield Heading(f"Largest and median reward of N answers ({name})")
        if rank["n"]:
            yield (
                "Within a request the reward ranks answers as the truth does with a correlation of "
                f"{rank['value']:.2f} ({rank['low']:.2f} to {rank['high']:.2f}; Spearman, mean over {rank['n']} "
                "requests)."
            )
        described = "; ".join(
            f"N {row['n']:.0f}: largest {row['max']:.2f}, median {row['median']:.2f}{_truth(row)}" for row in rows
        )
        if charts.can_plot():
            yield Chart(charts.best_of_n_chart(rows), "The gap is what rejection sampling can gain.", described)
        else:
            yield described


def _adherence(card: Card) -> Iterable[Block]:
    if not card.get("adherence"):
        return
    yield Heading("Ghost Attention: instructions kept, by turn")
    yield (
        "The instruction stands before the first message alone. Recall: asked for a fact, the answer names it. Seen: "
        "names, hobbies and endings that dialogues of training had. Small or in brackets: the 95 % interval."
    )
    lines = {
        f"{one['measure']}, {one['model']}": {int(turn): share for turn, share in one["turns"].items()}
        for one in card["adherence"]
    }
    turns = sorted({turn for by_turn in lines.values() for turn in by_turn})
    if charts.can_plot():
        said = "; ".join(
            f"{name}: " + ", ".join(f"turn {turn} {100 * share:.0f} %" for turn, share in by_turn.items())
            for name, by_turn in lines.items()
        )
        yield Chart(charts.adherence_chart(lines), "Dialogues that keep their instruction at a turn.", said)
    rows = [
        [f"{one['measure']}, {one['model']}", *(_turn_cell(one, str(turn)) for turn in turns)]
        for one in card["adherence"]
    ]
    yield Table(["", *(f"turn {turn}" for turn in turns)], rows)


def _turn_cell(line: Mapping[str, Any], turn: str) -> str:
    """The share at a turn, with its interval where there is one."""
    if turn not in line["turns"]:
        return "–"
    text, interval = f"{100 * line['turns'][turn]:.0f} %", line.get("intervals", {}).get(turn)
    return text if interval is None else f"{text}\n{100 * interval[0]:.0f}–{100 * interval[1]:.0f}"


def _reward_models(card: Card) -> Iterable[Block]:
    models = card.get("reward_models", ())
    if not models:
        return
    yield Heading("Reward models")
    yield "Held-out pairs: how often the preferred answer scores higher. Small or in brackets: the 95 % interval."
    if (rank := card.get("rank", {"n": 0}))["n"]:
        yield (
            f"The helpfulness model ranks answers to a validation request as the truth does with a correlation of "
            f"{rank['value']:.2f} ({rank['low']:.2f} to {rank['high']:.2f}; Spearman, mean over {rank['n']} requests)."
        )
    labels = list(dict.fromkeys(label for one in models for label in one["accuracy"]))
    rows = [[one["name"], *(_figure_cell(one["accuracy"].get(label)) for label in labels)] for one in models]
    yield Table(["", *labels], rows)
    binned = {one["name"]: [tuple(b) for b in one["calibration"]] for one in models if one.get("calibration")}
    if binned and charts.can_plot():
        said = "; ".join(
            f"{name}: " + ", ".join(f"{100 * b[0]:.0f} % sure, {100 * b[1]:.0f} % right" for b in bins if b[2])
            for name, bins in binned.items()
        )
        yield Chart(charts.reliability_chart(binned), "Calibration: right against how sure.", said)


# --- texts and times ---------------------------------------------------------------------


def _samples(card: Card) -> Iterable[Block]:
    samples = card.get("samples", ())
    if not samples:
        return
    names = list(dict.fromkeys(name for one in samples for name in one["answers"]))
    yield Heading("Side by side")
    rows = [[one["prompt"], *(one["answers"].get(name, "") for name in names)] for one in samples]
    yield Table(["request", *names], rows, texts=True)


def _seconds(card: Card) -> Iterable[Block]:
    steps = card.get("seconds", ())
    if not steps:
        return
    yield Heading("Seconds")
    rows = [[one["step"], f"{one['wall']:,.0f}", f"{one['cpu']:,.0f}"] for one in steps]
    rows.append(["in all, up to this page", *(f"{sum(one[kind] for one in steps):,.0f}" for kind in ("wall", "cpu"))])
    yield Table(["step", "by the clock", "of the CPU (all threads)"], rows)


def _words(name: str) -> str:
    return name.replace("_", " ")
