"""The report card: what it shows of a card, that nothing in a text is markup, and that it needs nothing else."""

import re

from minillama.alignment.recipe.report import as_html, as_markdown, card_blocks, charts
from minillama.alignment.recipe.report.measuring import wins_between
from minillama.alignment.story_world import Judgement, draw_requests
from minillama.alignment.story_world.checks import Checks

SHARE = {"value": 0.667, "low": 0.61, "high": 0.72, "n": 300}
LENGTH = {**SHARE, "value": 41.25, "share": False}
BEST = {
    "rows": [{"n": 1, "max": 0.7, "median": 0.7, "truth": 4.5}, {"n": 8, "max": 1.4, "median": 0.75, "truth": 4.8}],
    "rank": {"value": 0.51, "low": 0.4, "high": 0.6, "n": 200},
}
BINS = [[0.6, 0.58, 40], [0.9, 0.88, 30], [1.0, 0.0, 0]]


def card():
    return {
        "about": ["Seed 0, from stories3M."],
        "settings": "[recipe]\nseed = 0\n",
        "stages": [
            {"name": "sft", "rates": {"requested_words": SHARE, "mean_length": LENGTH}},
            {"name": "ppo", "rates": {"requested_words": {**SHARE, "value": 0.7}}},
        ],
        "wins": [{"a": "sft", "b": "ppo", "kind": "benign", "rate": 0.55, "low": 0.52, "high": 0.58, "n": 2400}],
        "rewards": {
            "sft": {"helpfulness": [0.0, 1.0, 2.0], "safety": [-1.0, 0.0, 1.0]},
            "ppo": {"helpfulness": [1.0, 2.0, 3.0], "safety": [2.0, 3.0, 4.0]},
        },
        "kl": [
            {"iteration": 0, "kl": 0.0, "reward": 2.02, "truth": 4.26},
            {"iteration": 10, "kl": 6.4, "reward": 2.39, "truth": 4.14},
        ],
        "best_of_n": {"round 1": BEST},
        "adherence": [
            {"measure": "recall", "model": "before", "turns": {"2": 0.0, "20": 0.0}},
            {
                "measure": "recall",
                "model": "after",
                "turns": {"2": 1.0, "20": 0.9},
                "intervals": {"2": [0.91, 1.0], "20": [0.77, 0.96]},
            },
        ],
        "rank": {"value": 0.44, "low": 0.39, "high": 0.5, "n": 100},
        "reward_models": [
            {"name": "helpfulness", "accuracy": {"significantly better": SHARE}, "calibration": BINS}
        ],
        "samples": [{"prompt": "Tell me <b>a story</b>.", "answers": {"sft": "Once | upon", "ppo": "*a time*"}}],
        "seconds": [{"step": "01-stories", "wall": 12.4, "cpu": 20.1}, {"step": "02-sft", "wall": 100.0, "cpu": 190.0}],
    }  # fmt: skip


def test_html_shows_everything_and_loads_nothing():
    page = as_html("Report card", card_blocks(card()))
    assert "<script" not in page
    # inside the drawings are names of schemas, which load nothing
    assert "http" not in re.sub(r'base64,[^"]*', "", page)
    assert "Tell me &lt;b&gt;a story&lt;/b&gt;." in page
    for text in (
        "66.7 %",
        "61–72",
        "41.25",
        "ppo against sft",
        "55.0 %",
        "112",
        "seed = 0",
        "turn 20 90 %",
        "correlation of 0.51",
    ):
        assert text in page, text
    images = re.findall(r'<img src="data:image/svg\+xml;base64,[^"]+" alt="([^"]+)"', page)
    assert len(images) == 5
    assert "KL 6.40: reward 2.39, truth 4.14" in images[1]


def test_html_can_be_read_and_scrolled_without_eyes_and_mouse():
    page = as_html("Report card", card_blocks(card()))
    assert page.count("<main>") == page.count("</main>") == 1
    assert '<th scope="row">requested words</th>' in page
    assert "<th></th>" not in page.replace(' scope="col"', "")  # no header without a name
    tables = page.count("<table")
    assert len(re.findall('<div class="wide" tabindex="0" role="region" aria-label="[^"]+"><table', page)) == tables
    assert 'aria-label="Win rates"' in page


def test_every_stage_is_compared_with_the_one_before_and_with_the_first():
    requests = draw_requests("test", 20, 1, {"story": 1, "adversarial": 1})

    def judged(h, s):
        return [Judgement(h, s, Checks(), -2.0) for _ in requests]

    rows = wins_between(requests, {"SFT": judged(1, 1), "RS": judged(2, 1), "PPO": judged(2, 3), "chat": judged(0, 3)})
    rates = {(row["b"], row["a"], row["kind"]): row["rate"] for row in rows}
    assert len(rates) == len(rows) == 10
    assert rates["RS", "SFT", "benign"] == rates["PPO", "SFT", "benign"] == 1
    assert rates["PPO", "RS", "benign"] == 0.5
    assert rates["chat", "SFT", "benign"] == rates["chat", "PPO", "benign"] == 0
    assert rates["chat", "SFT", "adversarial"] == 1


def test_markdown_says_the_same():
    text = as_markdown("Report card", card_blocks(card()))
    assert "| requested words | 66.7 % (61–72) | 70.0 % (61–72) |" in text
    assert "Once \\| upon" in text
    assert "\\*a time\\*" in text
    assert "KL 6.40: reward 2.39" in text
    assert "| recall, after | 100 % (91–100) | 90 % (77–96) |" in text
    assert "correlation of 0.44 (0.39 to 0.50; Spearman, mean over 100 requests)" in text


def test_main_measures_come_first():
    some = card() | {"main": ["mean_length"]}
    text = as_markdown("Report card", card_blocks(some))
    first, others = text.index("| mean length |"), text.index("| requested words |")
    assert first < text.index("## Win rates") < text.index("## All other measures") < others


def test_what_was_not_measured_is_left_out():
    page = as_markdown("Report card", card_blocks({"settings": "", "stages": []}))
    assert re.findall("^## .*", page, re.M) == ["## Settings"]


def test_drawings_are_the_same_bytes_for_the_same_numbers():
    assert charts.kl_chart(card()["kl"]) == charts.kl_chart(card()["kl"])


def test_without_matplotlib_numbers_stay(monkeypatch):
    monkeypatch.setattr(charts, "can_plot", lambda: False)
    page = as_html("Report card", card_blocks(card()))
    assert "<img" not in page
    assert "pip install matplotlib" in page
    assert "largest 1.40" in page
