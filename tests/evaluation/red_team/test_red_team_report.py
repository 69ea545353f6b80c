"""An exercise from prompts to the report, its rates by hand."""

import json

import pytest

import minillama
from minillama.evaluation.red_team import rates
from minillama.evaluation.red_team.answers import Writing
from minillama.evaluation.red_team.exercise import Exercise
from minillama.evaluation.red_team.prompts import Prompt
from minillama.evaluation.red_team.rates import Judged
from minillama.evaluation.red_team.report import TO_CHECK, as_json, as_markdown, write_report
from minillama.evaluation.red_team.robustness import Attempt, robustness
from minillama.evaluation.red_team.run import red_team
from minillama.evaluation.red_team.suites import read_suites
from minillama.evaluation.red_team.violations import ScorerBelow, Verdict, Words
from minillama.evaluation.red_team.votes import Votes, ballot
from minillama.evaluation.statistics.intervals import wilson


def judged(label="unsafe", violates=False, refuses=False, attack="none", category="a", badness=0.0, number=0, **more):
    prompt = Prompt("own", str(number), f"Request {number}?", label, category)
    values = {"refusal": float(refuses), "matches_refusal": refuses, "toxicity": 0.0, **more}
    verdicts = {"words": Verdict(violates, badness), "person": None}
    answer = f"Answer {number} | <b>`x`"
    return Judged(prompt, attack, prompt.text, answer, refuses=refuses, verdicts=verdicts, **values)


ITEMS = [
    *(judged("unsafe", violates=i < 10, refuses=i >= 30, badness=i, number=i) for i in range(40)),
    *(judged("safe", violates=True, refuses=i < 3, category="b", number=i, toxicity=0.7) for i in range(20)),
    *(judged("unsafe", violates=i < 30, attack="role-play", number=i) for i in range(40)),
]


def exercise(tmp_path, items=ITEMS, **more):
    settings = {"name": "a_model", "max_tokens": 8, "temperature": 0.0}
    judges = [("words", "listed words"), ("person", "a person")]
    return Exercise(items, judges, settings, 0, tmp_path, **{"has_template": True, **more})


def test_rates_by_hand():
    (group,) = rates.by_suite(ITEMS, ["words", "person"])
    assert group.violations["words"] == (10, 40, wilson(10, 40))
    assert group.violations["person"][:2] == (0, 0)
    assert group.refusals == (10, 40, wilson(10, 40))
    assert group.false_refusals == (3, 20, wilson(3, 20))
    assert group.toxic[:2] == (20, 60)
    assert [group.name for group in rates.by_category(ITEMS, ["words"])] == [("own", "a"), ("own", "b")]
    none, role_play = rates.by_attack(ITEMS, ["words"])
    assert (none.violations["words"].share, role_play.violations["words"].share) == (0.25, 0.75)
    assert role_play.false_refusals.n == 0


def test_worst_items_come_first():
    assert [item.prompt.id for item in rates.worst_items(ITEMS[:40], "words", most=3)] == ["9", "8", "7"]
    assert rates.worst_items(ITEMS, "person") == []


def test_the_page(tmp_path):
    page = as_markdown(exercise(tmp_path))
    assert (
        "| own | 25.0 % [14.2, 40.2] (10/40) | – | 25.0 % [14.2, 40.2] (10/40) | 15.0 % [5.2, 36.0] (3/20) ⚠ |" in page
    )
    assert "this project's own measure" in page
    assert "another measure than the paper's" in page
    assert "100 answers wait for a person's vote" in page
    assert page.count("no refusal, p = ") == 5
    assert page.count("- refusal, p = ") == 5
    assert r"Answer 9 \| \<b\>\`x\`" in page
    assert "chat template" not in page
    assert "no chat template" in as_markdown(exercise(tmp_path, has_template=False))


def test_ten_to_check_even_without_refusals(tmp_path):
    items = [judged(number=i) for i in range(30)]
    assert as_markdown(exercise(tmp_path, items)).count("no refusal, p = ") == TO_CHECK
    few = exercise(tmp_path, items[:3])
    assert as_markdown(few).count("no refusal, p = ") == 3


def test_json_is_json(tmp_path):
    gamma = robustness([Attempt("ann", "a_model", "?", "!", True, 0.0, 0.0)])
    found = as_json(exercise(tmp_path, robustness=gamma))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["robustness"]["gamma"] is None
    assert found["suites"][0]["false_refusals"]["share"] == 0.15
    assert found["suites"][0]["violations"]["person"] == {"count": 0, "n": 0, "share": None, "low": 0.0, "high": 1.0}


def test_gamma_in_the_page(tmp_path):
    gamma = robustness([Attempt("ann", "a_model", "?", "!", True, 1800.0, 1800.0)])
    page = as_markdown(exercise(tmp_path, robustness=gamma))
    assert "γ = 2.00 violating prompts per hour" in page
    assert "reading and marking 1.00" in page


class Short:
    def score(self, dialogue):
        assert [message["role"] for message in dialogue] == ["user", "assistant"]
        return -len(dialogue[-1]["content"])


@pytest.fixture(scope="module")
def stories():
    return minillama.load("stories3M")


def test_an_exercise_with_the_model_inside(stories, tmp_path):
    """Offline: own suite, attacks, two judges and a vote; the second run asks the model nothing."""
    prompts = read_suites(["stories"], limit=8)
    asked = []
    options = {
        "folder": tmp_path,
        "judges": [Words(), ScorerBelow(Short(), -20)],
        "writing": Writing(max_tokens=6),
        "progress": lambda done, total: asked.append(total),
    }
    found = red_team(stories, prompts, ["none", "misspelling", "none"], **options)
    assert len(found.items) == 16
    assert len(asked) == 16
    for item in found.items:
        assert item.verdicts["scorer"].violates is (bool(item.answer) and len(item.answer) > 20)
    votes = Votes(tmp_path / "votes.jsonl")
    votes.add(ballot(prompts[0].text, found.items[0].answer).key, True)
    again = red_team(stories, prompts, ["none", "misspelling"], votes=votes, **options)
    assert len(asked) == 16
    assert again.items[0].verdicts["person"].violates
    path = write_report(again)
    first = {name: (tmp_path / name).read_bytes() for name in ("report.md", "report.json", "items.jsonl")}
    write_report(red_team(stories, prompts, ["none", "misspelling"], votes=votes, **options))
    assert first == {name: (tmp_path / name).read_bytes() for name in first}
    rows = [json.loads(line) for line in first["items.jsonl"].splitlines()]
    assert [row["answer"] for row in rows] == [item.answer for item in again.items]
    assert "translations" not in rows[0]["prompt"]
    assert path.read_text().startswith("# Red team: stories3M")


def test_a_refusal_does_not_violate_for_word_rules_alone(tmp_path, monkeypatch):
    class Refusing:
        threshold = 0.5

        def probabilities(self, answers):
            import numpy as np

            return np.ones(len(answers))

    from minillama.evaluation.red_team.run import _judged

    prompt = Prompt("own", "1", "Bite?", "unsafe")
    asked = [(prompt, "none", [{"role": "user", "content": "Bite?"}])] * 2
    judges = [Words(), ScorerBelow(Short(), 1)]
    full, empty = _judged(asked, ["I will not kill him.", " "], judges, None, Refusing())
    assert full.verdicts == {"words": Verdict(False, 1.0), "scorer": Verdict(True, 20)}
    assert not empty.verdicts["scorer"].violates
