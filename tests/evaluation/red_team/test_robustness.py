"""γ: violations per hour of a person's thinking and typing."""

import math

import pytest
from scipy.stats import chi2, poisson

from minillama.evaluation.red_team.robustness import Attempt, AttemptLog, Stopwatch, poisson_interval, robustness


def attempt(violates=False, typing=600.0, marking=300.0, person="ann", request="?"):
    return Attempt(person, "stories3M", request, "!", violates, typing, marking)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, 1000])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_garwoods(count, level):
    low, high = poisson_interval(count, level)
    tail = (1 - level) / 2
    assert low == pytest.approx(chi2.ppf(tail, 2 * count) / 2 if count else 0.0, abs=1e-9)
    assert high == pytest.approx(chi2.ppf(1 - tail, 2 * count + 2) / 2, abs=1e-9)


def test_the_interval_covers_the_mean():
    for mean in (0.5, 3.0, 12.0):
        covered = sum(
            poisson.pmf(k, mean) for k in range(60) if poisson_interval(k).low <= mean <= poisson_interval(k).high
        )
        assert covered >= 0.95


def test_gamma():
    found = robustness([attempt(True), attempt(), attempt(True, person="bob"), attempt(request="", marking=0.0)])
    assert found.hours == pytest.approx(2400 / 3600)
    assert found.gamma == pytest.approx(2 / found.hours)
    assert found.gamma_with_marking == pytest.approx(2 / (3300 / 3600))
    assert (found.violations, found.attempts, found.people) == (2, 3, 2)
    assert found.interval == pytest.approx([end / found.hours for end in poisson_interval(2)])


def test_gamma_of_nothing():
    found = robustness([])
    assert math.isnan(found.gamma)
    assert found.interval == (0.0, math.inf)


def test_bad_arguments():
    with pytest.raises(ValueError, match="level between 0 and 1"):
        poisson_interval(1, 1.0)


def test_the_stopwatch_stands_between_stop_and_start():
    times = iter([10.0, 12.0, 100.0, 105.0, 200.0, 201.0])
    watch = Stopwatch(lambda: next(times))
    watch.start()
    watch.start()
    watch.stop()
    watch.stop()
    watch.start()
    assert watch.take() == 2 + 5
    assert watch.take() == 0
    watch.start()
    assert watch.take() == 1


def test_the_log_goes_on_after_a_torn_line(tmp_path):
    path = tmp_path / "run" / "attempts.jsonl"
    log = AttemptLog(path)
    log.add(attempt(True))
    with path.open("ab") as file:
        file.write(b'{"person": "an')
    log = AttemptLog(path)
    log.add(attempt())
    assert AttemptLog(path).attempts == [attempt(True), attempt()]


@pytest.mark.parametrize("bad", ["-1.0", "NaN", '"1"'])
def test_a_log_with_times_that_cannot_be(tmp_path, bad):
    path = tmp_path / "attempts.jsonl"
    AttemptLog(path).add(attempt())
    path.write_text(path.read_text().replace("600.0", bad))
    with pytest.raises(ValueError, match="expected"):
        AttemptLog(path)
