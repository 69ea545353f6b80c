"""Answers on disk: read by nobody else, whole after a kill at any moment, the same bytes after going on."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blas_kernels import needs_wide

import minillama
from minillama.evaluation.common.requests import Generation, Likelihood, LogLikelihood, Rolling, Written
from minillama.evaluation.engine.engine import Engine
from minillama.evaluation.engine.origin import model_hash, origin_of
from minillama.evaluation.engine.store import Store, request_key
from minillama.files.lock import LockedError
from minillama.ops import replace_layer

HERE = Path(__file__).parent
ANSWERS = [
    ("a", Likelihood(-1.25, True, 3, 4)),
    ("b", Likelihood(float("-inf"), False, 0, problem="no token")),
    ("c", Written("é\n", (5, 2), 0.5, 9, True)),
    ("d", Written("", problem="empty")),
]
REQUESTS = [LogLikelihood("Tom", " ran"), Rolling("Tom ran"), Generation("Tom", (".",), 5), LogLikelihood("Tom", "")]


def only_file(folder):
    (path,) = folder.glob("*.jsonl")
    return path


def test_what_is_kept_is_what_was_given(tmp_path):
    with Store(tmp_path).opened({"model": "x"}) as answers:
        answers.add(ANSWERS)
        answers.add(ANSWERS)
    with Store(tmp_path).opened({"model": "x"}) as answers:
        assert [answers.get(key) for key, _ in ANSWERS] == [answer for _, answer in ANSWERS]
        assert answers.get("e") is None
    assert len(only_file(tmp_path).read_text().splitlines()) == len(ANSWERS)
    with Store(tmp_path).opened({"model": "y"}) as answers:
        assert answers.get("a") is None


def test_cut_at_every_byte(tmp_path):
    """Whatever is left of the file, whole lines count, and what is added then is read again."""
    with Store(tmp_path).opened({}) as answers:
        answers.add(ANSWERS)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for n in range(len(whole) + 1):
        path.write_bytes(whole[:n])
        with Store(tmp_path).opened({}) as answers:
            kept = [answers.get(key) for key, _ in ANSWERS]
            n_lines = whole[:n].count(b"\n")
            assert kept == [answer for _, answer in ANSWERS[:n_lines]] + [None] * (len(ANSWERS) - n_lines)
            answers.add(ANSWERS)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line", ["", "{}", "[1]", '{"request": "a", "answer": {"logprob": 1}}', "\0\0", '{"request": "a"}']
)
def test_a_damaged_line_is_asked_again(tmp_path, line):
    with Store(tmp_path).opened({}) as answers:
        answers.add(ANSWERS[:1])
    only_file(tmp_path).write_text(line + "\n")
    with Store(tmp_path).opened({}) as answers:
        assert answers.get("a") is None
        answers.add(ANSWERS[:2])
    with Store(tmp_path).opened({}) as answers:
        assert answers.get("b") == ANSWERS[1][1]


def test_two_processes_do_not_write_at_once(tmp_path):
    with Store(tmp_path).opened({"model": "x"}):
        with Store(tmp_path).opened({"model": "y"}):
            pass
        with pytest.raises(LockedError, match="keeping answers"), Store(tmp_path).opened({"model": "x"}):
            pass
    with Store(tmp_path).opened({"model": "x"}):
        pass


def test_every_field_and_the_length_make_another_request():
    changed = [replace(REQUESTS[0], **{name: value}) for name, value in
               (("context", "To"), ("continuation", " r"), ("is_chat", True))]  # fmt: skip
    changed += [replace(REQUESTS[2], **{name: value}) for name, value in
                (("context", "To"), ("until", (",",)), ("max_tokens", 6), ("is_chat", True))]  # fmt: skip
    keys = {request_key(one, n) for one in [*REQUESTS, *changed] for n in (8, 9)}
    assert len(keys) == 2 * len([*REQUESTS, *changed])


def test_nothing_is_asked_twice(stories, tmp_path, monkeypatch):
    engine = Engine(stories, store=Store(tmp_path))
    first = engine.ask(REQUESTS)
    for runner in (engine.scorer, stories.runner):
        monkeypatch.setattr(runner, "extend_branches", None)
    assert Engine(stories, store=Store(tmp_path), batch_size=1).ask(REQUESTS[::-1]) == first[::-1]


def test_another_model_or_arithmetic_is_another_origin(stories, exact_stories):
    engines = [Engine(stories), Engine(stories, in_float32=False), Engine(exact_stories)]
    halves = minillama.load("stories3M", kv_dtype=np.float16)
    origins = [origin_of(engine.llm, engine.scorer) for engine in [*engines, Engine(halves)]]
    assert len({json.dumps(origin) for origin in origins}) == 4
    assert len({origin["model"] for origin in origins}) == 1

    params = stories.params._replace(final_norm=stories.params.final_norm * np.float32(1 + 1e-6))
    others = [minillama.LLM(params, stories.config, stories.tokenizer, stop_ids=stories.named_stop_ids)]
    others.append(minillama.LLM(stories.params, replace(stories.config, norm_eps=2e-5), stories.tokenizer,
                                stop_ids=stories.named_stop_ids))  # fmt: skip
    tokenizer = stories.tokenizer.stopping_at([5])
    others.append(minillama.LLM(stories.params, stories.config, tokenizer, stop_ids=stories.named_stop_ids))
    assert len({model_hash(llm) for llm in [stories, *others]}) == 4
    same = minillama.LLM(stories.params, stories.config, stories.tokenizer, stop_ids=stories.named_stop_ids)
    assert model_hash(same) == model_hash(stories)


def test_answers_of_replaced_functions_are_not_kept(tmp_path):
    own = minillama.load("stories3M", ops=replace_layer("rmsnorm", forward=lambda x, weight, eps: x * weight))
    with pytest.raises(ValueError, match="replaced"):
        Engine(own, store=Store(tmp_path))
    assert Engine(own).ask(REQUESTS[:1])[0].problem is None


def test_an_interrupt_keeps_what_was_answered(stories, tmp_path):
    def interrupt(progress):
        if progress.answered >= 2:
            raise KeyboardInterrupt

    engine = Engine(stories, store=Store(tmp_path), batch_size=1)
    with pytest.raises(KeyboardInterrupt):
        engine.ask(REQUESTS, progress=interrupt)
    assert only_file(tmp_path).read_text().count("\n") >= 1
    assert engine.ask(REQUESTS) == Engine(stories).ask(REQUESTS)


def run(store, out, n_bytes=0):
    environment = os.environ | {"PYTHONPATH": str(Path(minillama.__file__).parents[1])}
    command = [sys.executable, str(HERE / "killed_run.py"), str(store), str(out), str(n_bytes)]
    return subprocess.run(command, env=environment, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_wide
def test_killed_at_twenty_moments(tmp_path):
    assert run(tmp_path / "whole", tmp_path / "expected") == 0
    expected, size = (tmp_path / "expected").read_bytes(), only_file(tmp_path / "whole").stat().st_size
    store, killed = tmp_path / "killed", 0
    for n in range(1, 21):
        killed += run(store, tmp_path / "out", size * n // 21) == -9
    assert killed >= 15  # a feed answers several at once, and may pass a mark or two
    assert run(store, tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == expected
    lines = sorted(only_file(store).read_bytes().splitlines())
    assert lines == sorted(only_file(tmp_path / "whole").read_bytes().splitlines())
