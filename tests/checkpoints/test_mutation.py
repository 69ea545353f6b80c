"""Whatever happens to the files of a model, a reader loads it or raises CheckpointError, soon and in little memory."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
from mutation import MAX_SECONDS, TooSlow, alarm, attempt, mutate, read_everything, write_files
from mutation_models import FORMAT_NAMES, build

N_MUTATIONS = 250  # of each format; benchmarks/fuzz_checkpoints.py does thousands
MEASURE_EVERY = 3  # tracing memory makes a load four times slower


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_mutations(tmp_path, name):
    model = build(name)
    write_files(model.files, tmp_path)
    read_everything(model, tmp_path)
    counts: Counter[str] = Counter()
    for seed in range(N_MUTATIONS):
        outcome = attempt(model, mutate(name, model, seed), tmp_path, measure_memory=seed % MEASURE_EVERY == 0)
        assert outcome.kind != "violation", f"{name}, seed {seed}: {outcome.report}"
        if outcome.kind == "refused":
            assert tmp_path.name in outcome.report, "the message does not name the file"
        counts[outcome.kind] += 1
    assert counts["refused"] > N_MUTATIONS // 5
    assert counts["loaded"] > 0


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_seeds_repeat(name):
    """A seed that found something finds it again, also in another process: the models are the same bytes."""
    first, again = build(name), build(name)
    assert first == again
    changed = [mutate(name, first, seed) for seed in range(40)]
    assert changed == [mutate(name, again, seed) for seed in range(40)]
    assert sum(files != first.files for files in changed) > 30


def test_the_alarm_rings_and_leaves_no_trace():
    others = signal.getitimer(signal.ITIMER_REAL)[0]
    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TooSlow), alarm(0.02):
        time.sleep(MAX_SECONDS)
    assert signal.getsignal(signal.SIGALRM) is handler
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    assert left == 0 if others == 0 else others - 1 < left <= others
