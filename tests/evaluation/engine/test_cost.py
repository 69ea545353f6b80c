"""What is said before anything runs, beside what then runs."""

import pytest

from minillama.evaluation.common.requests import Generation, LogLikelihood, Rolling
from minillama.evaluation.engine.cost import cost_of
from minillama.evaluation.engine.engine import Engine
from minillama.evaluation.engine.store import Store

HEADER = "Tom and Sam were friends. They liked to play in the park every day. " * 4


def some_requests():
    asked = [LogLikelihood(f"{HEADER}{name}", f" {verb}") for name in ("Tom", "Lily") for verb in ("ran", "sat down")]
    return [*asked, asked[0], Rolling(HEADER), Generation(HEADER + "Tom saw", (), 12), LogLikelihood("Tom", "")]


def test_tokens_are_those_that_run(stories):
    asked, seen = some_requests(), []
    cost = cost_of(Engine(stories), asked)
    Engine(stories).ask(asked, progress=seen.append)
    assert cost.tokens_shared + cost.tokens_generated >= seen[-1].done
    first = next(one.total for one in seen)
    assert cost.tokens_shared + cost.tokens_generated == first
    assert cost.tokens_alone > 1.9 * cost.tokens_shared
    assert (cost.requests, cost.kept, cost.tokens_generated) == (7, 0, 12)
    assert list(cost.problems.values()) == [1]
    assert "leaves no token" in next(iter(cost.problems))
    assert cost.seconds > 0
    assert cost.minutes == cost.seconds / 60


def test_the_pace_is_that_of_feeds_as_full_as_those_of_the_run(stories, monkeypatch):
    """A short feed takes as long as a whole tile of rows: its pace would be that of a run many times as long."""
    engine, fed = Engine(stories), []
    extend = type(engine.scorer).extend_branches

    def counted(self, branches, path):
        fed.append(sum(len(branch.ids) for branch in branches))
        return extend(self, branches, path)

    monkeypatch.setattr(type(engine.scorer), "extend_branches", counted)
    asked = [LogLikelihood(f"{name} saw", f" {what}") for name in ("Tom", "Lily") for what in "abcdefghijklmn"]
    tokens = cost_of(engine, asked).tokens_shared
    assert tokens / 2 < max(fed) <= tokens


def test_requests_that_are_cut_are_counted(stories):
    cost = cost_of(Engine(stories, max_length=20), some_requests())
    assert cost.truncated == 5


def test_kept_answers_cost_nothing(stories, tmp_path):
    asked = some_requests()[:4]
    engine = Engine(stories, store=Store(tmp_path))
    engine.ask(asked)
    cost = cost_of(engine, asked)
    assert (cost.kept, cost.tokens_shared, cost.seconds) == (4, 0, 0)


@pytest.mark.parametrize("max_length", [2, 4, 9, 10])
def test_a_window_shorter_than_what_is_timed(stories, max_length):
    cost = cost_of(Engine(stories, max_length=max_length), [Generation("Once upon a time", (), max_length - 1)])
    assert (cost.tokens_generated, cost.truncated) == (max_length - 1, 1)
    assert cost.seconds > 0
