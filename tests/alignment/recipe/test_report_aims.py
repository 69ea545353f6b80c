"""The report card beside its aims, and what another model reads: rows of what was measured, and nothing fetched."""

import math
import socket

import numpy as np
import pytest

import minillama
from minillama.alignment.recipe.report import as_markdown, card_blocks
from minillama.alignment.recipe.report.bars import bar_rows
from minillama.alignment.recipe.report.measuring import event_change, paired_change, wins_between
from minillama.alignment.recipe.steps import reader
from minillama.alignment.story_world import BaseFluency, Judgement, draw_requests
from minillama.alignment.story_world.checks import Checks


def share(value, n=300):
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "n": n, "share": True}


def mean(value, n=300):
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": n, "share": False}


MEASURE = "fluency under smollm2-135m, nats a byte (stories and events)"
SFT = {
    "words used (story)": share(0.7),
    "violations (adversarial)": share(0.6),
    "follow-up (follow-up)": share(0.99),
    "kind turns (borderline)": share(0.01),
    "distinct 4-grams (stories and events)": mean(0.5),
    "self-BLEU (stories and events)": mean(0.4),
    "words (stories and events)": mean(50.0),
    MEASURE: mean(-0.7),
}
FINAL = SFT | {
    "words used (story)": share(0.64),
    "violations (adversarial)": share(0.05),
    "distinct 4-grams (stories and events)": mean(0.44),
    "self-BLEU (stories and events)": mean(0.46),
    "words (stories and events)": mean(57.4),
    MEASURE: mean(-0.715),
}


def card(**changes):
    line = {"model": "PPO", "measure": "recall (seen)", "turns": {"2": 0.1, "20": 0.0}}
    stages = {
        "SFT": SFT,
        "verified": SFT,
        "distilled": SFT | {"violations (adversarial)": share(0.31)},
        "RS 1": SFT,
        "RS 2": SFT | {"follow-up (follow-up)": share(0.94)},
        "PPO": SFT,
        "chat": FINAL,
    }
    wins = [
        {"a": "verified", "b": "RS 2", "kind": "benign", "rate": 0.59, "low": 0.55, "high": 0.62, "n": 800},
        {"a": "RS 2", "b": "PPO", "kind": "benign", "rate": 0.53, "low": 0.49, "high": 0.57, "n": 800},
        {"a": "RS 2", "b": "PPO", "kind": "adversarial", "rate": 0.9, "low": 0.8, "high": 0.95, "n": 200},
    ]
    return {
        "settings": "",
        "first": "verified",
        "stages": [{"name": name, "rates": rates} for name, rates in stages.items()],
        "wins": wins,
        "event_change": mean(-0.025),
        "reader": {"name": "smollm2-135m", "measure": MEASURE, "change": mean(-0.015)},
        "reward_models": [
            {"name": "helpfulness", "accuracy": {"better": share(0.75)}},
            {"name": "safety", "accuracy": {"recall at 0.15": share(0.8)}},
        ],
        "rank": {"value": 0.48, "low": 0.4, "high": 0.55, "n": 100},
        "adherence": [
            line,
            line | {"model": "chat", "turns": {"2": 1.0, "10": 0.98, "20": 0.89}},
            line | {"model": "chat", "measure": "recall (unseen)", "turns": {"2": 0.8, "10": 0.75, "20": 0.1}},
        ],
    } | changes


def rows():
    return {row[0]: row[1:] for row in bar_rows(card())}


def test_an_aim_says_how_many_turns_there_were():
    """A run of few turns says nothing of turn 10."""
    some = card()
    few = [line | {"turns": {"2": 1.0, "4": 0.9}} for line in some["adherence"]]
    named = [row[0] for row in bar_rows(some | {"adherence": few})]
    assert "Ghost Attention: recall (seen), the least to turn 4" in named
    assert not any("turn 10" in name for name in named)


@pytest.mark.parametrize(
    ("what", "met"),
    [
        ("words used (story)", "no"),
        ("violations (adversarial)", "yes"),
        ("follow-up, at the stage that has least", "no"),
        ("event told, against SFT", "yes"),
        (f"{MEASURE}, against SFT", "yes"),
        ("distinct 4-grams (stories and events)", "no"),
        ("self-BLEU (stories and events)", "no"),
        ("words (stories and events)", "yes"),
        ("wins of RS 2 against verified, benign", "yes"),
        ("wins of PPO against RS 2, benign", "no"),  # above 52 %, with its interval on both sides of 50
        ("helpfulness model: better", "yes"),
        ("safety model: recall at 0.15", "no"),
        ("helpfulness model: correlation with the truth within a request", "no"),
        ("Ghost Attention: recall (seen), the least to turn 10", "yes"),
        ("Ghost Attention: recall (seen), turn 20", "no"),
        ("Ghost Attention: recall (unseen), the least to turn 10", "yes"),
        ("context distillation: violations", "no"),
        ("context distillation: kind turns (borderline)", "yes"),
    ],
)
def test_every_aim_is_held_against_its_measure(what, met):
    assert rows()[what][-1] == met


def test_there_is_a_row_for_what_was_measured_and_for_nothing_else():
    assert len(rows()) == 18
    assert rows()["follow-up, at the stage that has least"][2].endswith("(RS 2)")
    assert rows()["event told, against SFT"][2] == "-2.5\n-3.5 to -1.5"
    few = card(stages=card()["stages"][:1])
    assert bar_rows(few) == []
    assert "Beside what was aimed at" not in as_markdown("", card_blocks(few))


def test_the_page_says_how_many_are_met_and_what_was_left_out():
    text = as_markdown("", card_blocks(card()))
    assert "9 of 18 are met" in text
    assert "minillama pull" not in text
    text = as_markdown("", card_blocks(card(reader={"name": None})))
    assert "minillama pull smollm2-135m-instruct brings it" in text
    assert ", against SFT | ≥ −0.02" not in text


def test_small_numbers_have_three_digits():
    rates = {"a": mean(0.3456), "b": mean(-1.8912)}
    text = as_markdown("", card_blocks({"settings": "", "stages": [{"name": "x", "rates": rates}]}))
    assert "| a | 0.346 (0.336–0.356) |" in text
    assert "| b | -1.89 (-1.90–-1.88) |" in text


# --- changes and wins ------------------------------------------------------------------------


def judged(told):
    return Judgement(1.0, 1.0, Checks(event_told=told), -2.0)


def test_the_change_of_told_events_is_of_harmless_requests_alone():
    requests = draw_requests("test", 30, 1, {"kind": 1, "adversarial": 1, "borderline": 1})
    before = [judged(True) for _ in requests]
    now = [judged(request.kind != "kind") for request in requests]
    found = event_change(requests, before, now)
    assert (found["value"], found["n"]) == (-0.5, 20)
    assert -0.8 < found["low"] < -0.5 < found["high"] < -0.2
    assert event_change(draw_requests("test", 5, 1, {"story": 1}), before[:5], now[:5]) is None


def test_a_change_is_paired():
    """However far the values lie apart, what counts is by how much each has changed."""
    found = paired_change([0.0, 10.0, 20.0, 30.0], [1.0, 11.0, 21.0, 31.0])
    assert (found["value"], found["low"], found["high"], found["share"]) == (1.0, 1.0, 1.0, False)
    assert paired_change([], [])["n"] == 0


def test_every_later_stage_is_compared_with_the_fine_tuned_one():
    requests = draw_requests("test", 6, 1, {"story": 1})
    stages = {name: [Judgement(h, 1.0, Checks(), -2.0) for _ in requests] for h, name in enumerate("abcd")}
    couples = [(row["a"], row["b"]) for row in wins_between(requests, stages, also="b")]
    assert sorted(couples) == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert wins_between(requests, stages, also="a") == wins_between(requests, stages)


# --- another model reads -----------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("no network is to be used"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: pytest.fail("no network is to be used"))


REQUESTS = draw_requests("test", 12, 1, {"story": 2, "persona": 1, "kind": 1})


def texts(*several):
    """An answer to each story and event in turn; nonsense to what is not to be read."""
    told = iter(several * 12)
    return [next(told) if request.kind in ("story", "kind") else "xqz" for request in REQUESTS]


def test_without_such_a_model_nothing_is_fetched(no_network, monkeypatch, tmp_path):
    for name in ("MINILLAMA_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(reader, "READERS", ("tinyllama-1.1b-chat", "stories110M"))
    assert reader.read_by_another(REQUESTS, {"a": texts("One.")}, ("a", "a")) == {"name": None}
    assert list(tmp_path.iterdir()) == []


def test_nats_a_byte_of_stories_and_events_on_the_same_requests(no_network, monkeypatch):
    """stories3M in place of the larger one; an answer without a token is left out of means and pairs."""
    monkeypatch.setattr(reader, "READERS", ("tinyllama-1.1b-chat", "stories3M"))
    good, bad = "Once upon a time there was a dog.", "Dog the was time a there upon."
    answers, seen = {"SFT": texts(good), "RS": texts(good, ""), "chat": texts(bad)}, []
    found = reader.read_by_another(REQUESTS, answers, ("SFT", "chat"), lambda *told: seen.append(told))
    assert found["name"] == "stories3M"
    assert found["measure"] == "fluency under stories3M, nats a byte (stories and events)"
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    llm = minillama.load("stories3M")
    for name, text, n in (("SFT", good, 9), ("RS", good, 5), ("chat", bad, 9)):
        ids = llm.tokenizer.encode(text)
        expected = float(np.sum(llm.logprobs(ids[:1], ids[1:]))) / len(text)
        assert found["rates"][name]["value"] == pytest.approx(expected, rel=1e-3)
        assert found["rates"][name]["n"] == n
    change = found["rates"]["chat"]["value"] - found["rates"]["SFT"]["value"]
    assert found["change"]["value"] == pytest.approx(change) != 0
    paired = reader.read_by_another(REQUESTS, answers, ("RS", "chat"))["change"]
    assert (paired["n"], math.isnan(paired["value"])) == (5, False)


def test_it_reads_by_the_byte():
    llm = minillama.load("stories3M")
    a_token, a_byte = (
        BaseFluency(llm.params, llm.config, llm.tokenizer, per_byte=per_byte) for per_byte in (False, True)
    )
    text = "The dog ran."
    n_tokens = len(llm.tokenizer.encode(text)) - 1
    assert a_byte([text])[0] * len(text) == pytest.approx(a_token([text])[0] * n_tokens)


def test_aims_of_stories_are_not_held_against_another_world():
    """A card whose wins are a reward model's says so in words of its own."""
    assert bar_rows(card() | {"said": {"wins": "How often a held-out reward model …"}}) == []
    assert "Beside what was aimed at" not in as_markdown("x", card_blocks(card() | {"said": {"wins": "…"}}))
