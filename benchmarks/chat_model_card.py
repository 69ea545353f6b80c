"""The card of the chat model inside, made of what ship_chat_model.py measured: nothing in it is typed by hand.

python benchmarks/ship_chat_model.py --card     # minillama/stories/stories3M-chat.json -> stories3M-chat.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
Rates = Mapping[str, Figures]

TABLES: dict[str, dict[str, str]] = {
    "stories": {
        "words used (story)": "requested words used",
        "used words occurring more than twice (story)": "of these, those that occur more than twice",
        "exact count (story)": "exactly as many sentences as asked for",
        "happy (story)": "happy end, where one was asked for",
        "all constraints (story)": "everything that was asked for",
        "all constraints (story with words and a count)": "the same, where words and a count were asked for",
        "name used (story)": "the hero's name",
    },
    "events": {
        "event told (kind + borderline)": "the event that a harmless request asks for is told",
        "event told (kind + borderline, trained verb)": "… with verbs that demonstrations have",
        "event told (kind + borderline, unseen verb)": "… with verbs that none has",
        "event told (kind + borderline, unseen wording)": "… in wordings that none has",
    },
    "safety": {
        "violations (adversarial)": "adversarial requests: somebody is hurt all the same",
        "violations (adversarial, unseen verb)": "… with verbs that demonstrations have not",
        "kind turns (adversarial)": "adversarial requests: a kind story in place of it",
        "kind turns (kind + borderline)": "harmless requests turned away",
    },
    "personas and questions": {
        "persona (persona)": "name or hobby of the system prompt, when asked",
        "persona (persona, unseen persona)": "… of names and hobbies that demonstrations have not",
        "suffix (persona)": "ends as the system prompt says",
        "follow-up (follow-up)": "a question about the story before",
        "object told (chit-chat)": "tells of what it is asked about",
    },
    "text": {
        "ended (all)": "comes to an end",
        "words (stories and events)": "words of an answer",
        "fluency (stories and events)": "fluency under stories3M, nats a token",
        "distinct 4-grams (stories and events)": "distinct 4-grams",
        "self-BLEU (stories and events)": "self-BLEU",
    },
}


HEAD = """\
# stories3M-chat: the chat model inside minillama

    minillama chat -m stories3M-chat "Tell me a story about a girl named Ann. Use the words kite and brave."
    minillama chat -m stories3M-chat --system "Your name is Pip. You like to swim." "What is your name?"

`minillama chat` without a network and without a model in its cache comes to it, and says so. This page is made of
[stories3M-chat.json](stories3M-chat.json) by `python benchmarks/ship_chat_model.py`.
"""
LIMITS = """\
## What it is for, and its limits

It shows what alignment changes, on a model that answers at once and whose answers a program can check. It knows
children's stories and some dozens of wordings: tell a story, with these words and so many sentences; tell how
somebody does something; say who you are; answer a question about the story. Asked for anything else it tells some
story. It knows nothing about the world. Stories lose their thread and repeat themselves.

Its kindness is of this world alone: it turns away from telling how a living being is hurt, in words like those that
it was shown, and the tables say how often it does not. That is no judgement of real harm, and nothing to build on
where harm is possible. The judge is a program, and its rates cannot be compared with those of people.
"""
AGAIN = """\
## Make it again

    {command}
    python benchmarks/ship_chat_model.py RUN

The same versions and number of threads give the same run; another CPU's rounding gives another model that is as
good. `RUN/report.html` is the report card of all its stages.{note}
"""


def card(figures: Figures) -> str:
    """The card as Markdown."""
    parts = (_what, _measured, _turns, _stages, _reward_models)
    lines = [HEAD, *(line for part in parts for line in part(figures)), LIMITS, *_again(figures)]
    return "\n".join(lines)


def _what(figures: Figures) -> Iterator[str]:
    file, run = figures["file"], figures["run"]
    c, seconds = file["config"], run["seconds"].values()
    wall, cpu = (sum(one[kind] for one in seconds) / 60 for kind in ("wall", "cpu"))
    text = f" and those of {run['text']} (`--text`)" if run["text"] else "; no other text"
    base = "[stories3M](README.md)" if run["model"] == "stories3M" else run["model"]
    about = {
        "what": f"{base}, aligned: dim {c['dim']}, {c['n_layers']} layers, {c['n_heads']} query and {c['n_kv_heads']} "
        f"key/value heads, feed-forward {c['hidden_dim']}, {c['vocab_size']:,} pieces, tied head; context "
        f"{c['max_seq_len']:,} tokens with rope_theta {c['rope_theta']:,.0f}",
        "file": f"`stories3M-chat.gguf`, {file['bytes'] / 1e6:.2f} MB: matrices in Q8_0, norms in float32, tokenizer "
        "and LLaMA 2's chat format inside; opens in llama.cpp and `transformers`",
        "stages": "fine-tuning on demonstrations, and on its own answers that a program found right; two reward "
        "models, refreshed from the newest policy; context distillation; rejection sampling, pooled over rounds; PPO; "
        "Ghost Attention: one model through all of them ([alignment](../alignment/README.md))",
        "data": f"the base model's own stories{text}. Requests, preferences and personas come from a program "
        "(`minillama/alignment/story_world/`); of the test's names, verbs, wordings and personas a part is in no "
        "training",
        "run": f"preset {run['preset']}, seed {run['seed']}, {run['threads']} threads: {wall:.0f} minutes by the "
        f"clock, {cpu:.0f} of CPU time, up to its report card",
        "licence": "MIT",
    }
    yield from _table(["", ""], about.items())


def _measured(figures: Figures) -> Iterator[str]:
    found = figures["measured"]
    before, now = found["rates"]["SFT"], found["rates"]["shipped"]
    yield "## The file, measured"
    yield ""
    yield (
        f"{found['requests']:,} requests of the test split, on which nothing was chosen, answered at temperature "
        f"{found['temperature']:g} by the weights of this file (in float32 arithmetic) and judged by a program without "
        "noise. SFT: the fine-tuned model that every later stage began from, on the same requests. In brackets 95 % "
        "intervals; n is of the file's figure."
    )
    yield ""
    for title, names in TABLES.items():
        shown = dict(names)
        if title == "text" and found["reader"]["name"]:
            shown[found["reader"]["measure"]] = f"fluency under {found['reader']['name']}, nats a byte"
        rows = [
            [text, _cell(before.get(name)), _cell(now[name]), f"{now[name]['n']:,}"]
            for name, text in shown.items()
            if name in now
        ]
        yield from _table([title, "SFT", "this file", "n"], rows)
    yield from _changes(found)


def _changes(found: Figures) -> Iterator[str]:
    if event := found["event_change"]:
        yield f"Events told, against SFT on the same requests: {_signed(event, 100, 1)} points."
        yield ""
    if found["reader"]["name"]:
        change = found["reader"]["change"]
        yield f"Fluency under {found['reader']['name']}, likewise: {_signed(change, 1, 3)} nats a byte."
    else:
        yield "Fluency under SmolLM2-135M was left out: the model was not on the machine that measured."
    yield ""


def _turns(figures: Figures) -> Iterator[str]:
    lines = figures["measured"]["adherence"]
    if not lines:
        return
    turns = list(dict.fromkeys(turn for line in lines for turn in line["turns"]))
    yield "## Does the first message still hold?"
    yield ""
    yield (
        "A persona stands before the first message alone; at a later turn the model is asked for its name or hobby "
        "(recall), and answers have to end as it says (style). Talk between is sampled at 0.3, the question answered "
        f"greedily; {figures['measured']['dialogues']} dialogues each with traits that training had (seen) and had not."
    )
    yield ""
    rows = [
        [f"{line['measure']}, {line['model']}", *(_at(line, turn) for turn in turns)]
        for line in sorted(lines, key=lambda line: line["measure"])
    ]
    yield from _table(["", *(f"turn {turn}" for turn in turns)], rows)


def _at(line: Figures, turn: str) -> str:
    if turn not in line["turns"]:
        return "–"
    low, high = line["intervals"][turn]
    return f"{100 * line['turns'][turn]:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def _stages(figures: Figures) -> Iterator[str]:
    stages, wins = figures["run"]["stages"], figures["run"]["wins"]
    yield "## What each stage changed"
    yield ""
    yield "From the run's own report card, on other requests of the test split; the last column is this file."
    yield ""
    measures = list(dict.fromkeys(name for stage in stages for name in stage["rates"]))
    rows = [[name, *(_cell(stage["rates"].get(name), short=True) for stage in stages)] for name in measures]
    yield from _table(["", *(stage["name"] for stage in stages)], rows)
    rows = [
        [f"{one['b']} against {one['a']}", one["kind"], _share(one["rate"], one["low"], one["high"]), f"{one['n']:,}"]
        for one in wins
    ]
    yield from _table(["preferred by the judge, a tie being half a win", "requests", "", "n"], rows)


def _reward_models(figures: Figures) -> Iterator[str]:
    run = figures["run"]
    yield "## The reward models behind it"
    yield ""
    yield "Held-out pairs: how often the preferred answer scores higher; of safety also precision and recall of unsafe."
    yield ""
    for model in run["reward_models"]:
        rows = [[label, _cell(one), f"{one['n']:,}"] for label, one in model["accuracy"].items()]
        yield from _table([model["name"], "", "n"], rows)
    if (rank := run["rank"])["n"]:
        yield (
            "Within a request the helpfulness model ranks 16 answers as the truth does with a correlation of "
            f"{rank['value']:.2f} ({rank['low']:.2f} to {rank['high']:.2f}; Spearman, mean over {rank['n']} requests)."
        )
        yield ""


def _again(figures: Figures) -> Iterator[str]:
    run = figures["run"]
    command = run.get("again", _by_preset(run))
    own = run.get("own settings", ())
    notes = [f"FILE changes the preset: {'; '.join(own)}."] if own else []
    notes += [run["note"]] if run.get("note") else []
    yield AGAIN.format(command=command, note="".join(f" {note}" for note in notes))


def _by_preset(run: Figures) -> str:
    """Of a run that was measured before its command was kept."""
    text = " --text FILE" if run["text"] else ""
    return f"minillama align --out RUN --preset {run['preset']} --seed {run['seed']} --threads {run['threads']}{text}"


# --- cells -------------------------------------------------------------------------------


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(one: Figures | None, short: bool = False) -> str:
    """A figure with its interval; without one where it has none, or for a wide table."""
    if one is None or not one["n"]:
        return "–"
    if one.get("share", True):
        return f"{100 * one['value']:.1f} %" if short else _share(one["value"], one["low"], one["high"])
    digits = 2 if abs(one["value"]) >= 1 else 3
    text = f"{one['value']:.{digits}f}"
    has_interval = not short and one["low"] != one["high"]
    return f"{text} ({one['low']:.{digits}f} to {one['high']:.{digits}f})" if has_interval else text


def _share(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def _signed(one: Figures, scale: float, digits: int) -> str:
    value, low, high = (f"{scale * one[name]:+.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
