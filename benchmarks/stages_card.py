"""The page of the shipped stages, made of what ship_stages.py measured: nothing in it is typed by hand.

python benchmarks/ship_stages.py --card     # notebooks/stages/stages.json -> notebooks/stages/README.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Figures = Mapping[str, Any]

HEAD = """\
# What the stages of alignment left behind

Chapters 15 to 20 load these: `from minillama.learn.book.stages import load_stage`, then `load_stage("ppo")`. They are
of one run, the one whose chat model ships as stories3M-chat; what all its stages answered is in
`minillama/stories/stories3M-chat.md`. This page is made of [stages.json](stages.json) by
`python benchmarks/ship_stages.py`.
"""
WHY = """\
Policies are GGUF, with the tokenizer inside, so `minillama generate -m notebooks/stages/ppo.gguf` and llama.cpp open
them. A reward model is a folder of minillama's own format, because GGUF has no place for a head of one number: packed
matrices, and the head in float32 in `heads.safetensors`. Norms are float32 everywhere.
"""


def card(figures: Figures) -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *_files(figures), WHY, *_again(figures), *_costs(figures), *_tried(figures)])


def _files(figures: Figures) -> Iterator[str]:
    yield "| stage | what | files | weights | bytes |"
    yield "|---|---|---|---|---:|"
    for name, one in figures["stages"].items():
        size = sum(file["bytes"] for file in one["files"].values())
        yield f"| `{name}` | {one['about']} | `{_place(one)}` | {one['layout']} | {size:,} |"
    yield f"| | | | together | {figures['bytes']:,} |"
    yield ""


def _place(one: Figures) -> str:
    first, *more = one["files"]
    if more:
        return first.rpartition("/")[0].removeprefix("stages/") + "/"
    return first.removeprefix("stages/") if "/" in first else f"minillama/stories/{first}"


def _again(figures: Figures) -> Iterator[str]:
    yield "## Make them again\n"
    yield "| stage | command | CPU minutes of the step |"
    yield "|---|---|---:|"
    for name, one in figures["stages"].items():
        minutes = f"{one['seconds']['cpu'] / 60:.1f}" if "seconds" in one else ""
        yield f"| `{name}` | `{one['command']}` | {minutes} |"
    yield "\nThen `python benchmarks/ship_stages.py RUN`. Another CPU's rounding gives other models that are as good.\n"


def _costs(figures: Figures) -> Iterator[str]:
    yield "## What the small formats cost\n"
    yield "Of the reward models, on recorded answers and held-out pairs (95 % intervals in brackets):\n"
    yield "| | answers | spread of scores | mean change | largest | shift | accuracy before | packed | pairs turned |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for name, cost in _with(figures, "accuracy"):
        before, packed = ("{:.1f} % ({:.1f}–{:.1f})".format(*_percent(one)) for one in cost["accuracy"])
        yield (
            f"| `{name}` | {cost['answers']} | {cost['spread']:.2f} | {cost['mean']:.3f} | {cost['largest']:.2f} | "
            f"{cost['shift']:+.3f} | {before} | {packed} | {cost['turned']} of {cost['pairs']} |"
        )
    yield "\nBy how sure the annotator was and, for safety, by which answers are safe:\n"
    yield "| | pairs | before | packed |"
    yield "|---|---:|---:|---:|"
    for name, cost in _with(figures, "accuracy"):
        for before, packed in (cost[table] for table in ("strength", "bins") if cost[table]):
            for group in before:
                cells = ("{:.1f} % ({:.1f}–{:.1f})".format(*_percent(one[group])) for one in (before, packed))
                yield f"| `{name}`, {group} | {before[group]['n']} | " + " | ".join(cells) + " |"
    yield "\nOf the policies, answers to the same requests with the same seeds:\n"
    names = [name for name, _ in _with(figures, "rates")]
    yield "| | " + " | ".join(f"`{name}` before | packed" for name in names) + " |"
    yield "|---" * (1 + 2 * len(names)) + "|"
    costs = dict(_with(figures, "rates"))
    for measure in next(iter(costs.values()))["rates"]["before"]:
        cells = [_rate(costs[name]["rates"][which].get(measure)) for name in names for which in ("before", "packed")]
        yield f"| {measure} | " + " | ".join(cells) + " |"
    cells = ["", "{:.4f} ({:.4f} to {:.4f})"] * len(names)
    kl = [(costs[name]["kl"], *costs[name]["kl interval"]) for name in names]
    filled = [cell.format(*kl[i // 2]) if cell else cell for i, cell in enumerate(cells)]
    yield "| KL from before, nats a token | " + " | ".join(filled) + " |"
    yield ""


def _tried(figures: Figures) -> Iterator[str]:
    tried = {name: one["tried"] for name, one in figures["stages"].items() if "tried" in one}
    if not tried:
        return
    yield "## Formats that were tried\n"
    yield "Mean change of scores for reward models, KL in nats a token for policies; blocks of 256 (Q6_K …) do not"
    yield "divide rows of 192.\n"
    names = list(tried)
    yield "| weights | bytes | " + " | ".join(f"`{name}`" for name in names) + " |"
    yield "|---|---:|" + "---:|" * len(names)
    for i, row in enumerate(tried[names[0]]):
        cells = []
        for name in names:
            one = tried[name][i]
            value = f"{one['mean']:.3f}" if "mean" in one else f"{one['kl']:.4f}"
            cells.append(f"**{value}**" if one["layout"] == figures["stages"][name]["layout"] else value)
        yield f"| {row['layout']} | {row['bytes']:,} | " + " | ".join(cells) + " |"
    yield "\nBold is what ships.\n"


def _with(figures: Figures, what: str) -> Iterator[tuple[str, Figures]]:
    for name, one in figures["stages"].items():
        if what in one.get("cost", {}):
            yield name, one["cost"]


def _percent(one: Figures) -> tuple[float, float, float]:
    low, high = one["interval"]
    return 100 * one["value"], 100 * low, 100 * high


def _rate(figure: Figures | None) -> str:
    if figure is None:
        return ""
    return f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f}–{100 * figure['high']:.1f})"
