"""Who runs the model: chosen once, and whichever it is, the cache is reserved, filled and advanced alike."""

import threading

import numpy as np
import pytest
from interrupts import PACKAGE, interrupt

from minillama.compute.forking import STATE
from minillama.config import ModelConfig
from minillama.inference import repacked_model, runner
from minillama.inference.generate import TokenStream, generate_batch
from minillama.inference.repacked_model import repack_model
from minillama.inference.runner import FusedRunner, LayerRunner, runner_for
from minillama.inference.sampling import Sampling
from minillama.inference.session import Session
from minillama.kv_cache import CacheRows, ContextFullError, KVCache
from minillama.llm import LLM
from minillama.model import forward
from minillama.ops import FAST, REFERENCE, Ops
from minillama.params import init_params
from minillama.trees import map_tree

CONFIG = ModelConfig(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=99, max_seq_len=64, tied=True
)
PARAMS = map_tree(lambda a: 10 * a if a.ndim == 2 else a, init_params(CONFIG, np.random.default_rng(0)))
# Of floats, so that the fused kernel takes it on every machine.
RUNNERS = {"layers": LayerRunner(PARAMS, CONFIG), "fused": FusedRunner(repack_model(PARAMS), CONFIG)}
WITH = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
HOLD_STATE = ("inference/session.py", "inference/runner.py", "model.py", "kv_cache.py")


def wrapped(name):
    """FAST with one of its functions behind another, which counts its calls."""
    calls = []

    def mine(*args):
        calls.append(name)
        return getattr(FAST, name)(*args)

    return FAST._replace(**{name: mine}), calls


@WITH
@pytest.mark.parametrize("n_rows", [1, 3])
def test_logits_of_rows_stay_when_the_runner_runs_again(run, n_rows):
    """Another thread, with a batch of its own, may run it before a token is drawn from them."""
    ids, places, rows = np.arange(n_rows), np.arange(n_rows), CacheRows(n_rows)
    for _ in range(n_rows):
        rows.join(KVCache(CONFIG))
    logits = run.step_rows(ids, rows, places)
    before = logits.copy()
    run.step_rows(ids + 50, rows, places)
    np.testing.assert_array_equal(logits, before)


@WITH
@pytest.mark.parametrize("n_tokens", [1, 2, 7])
def test_extend_reserves_runs_and_advances(run, n_tokens, rng):
    ids = rng.integers(0, 99, (1, 3 * n_tokens))
    full, _ = forward(PARAMS, CONFIG, ids)
    cache = KVCache(CONFIG)
    for first in range(0, ids.shape[1], n_tokens):
        part = slice(first, first + n_tokens)
        logits = run.extend(ids[:, part], cache, all_logits=first == 0)
        expected = full[:, part] if first == 0 else full[:, first + n_tokens - 1]
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        assert cache.lengths.tolist() == [first + n_tokens]


@WITH
def test_the_last_layer_runs_for_the_positions_that_are_asked(run, rng, monkeypatch):
    """Of a prompt without `all_logits` it makes the keys and values alone of the others."""
    ids, rows_of_heads = rng.integers(0, 99, (1, 9)), []
    whole = run.extend(ids, KVCache(CONFIG), all_logits=True)
    counting = FAST._replace(swiglu_forward=lambda *a: rows_of_heads.append(a[0].shape[1]) or FAST.swiglu_forward(*a))
    last = LayerRunner(PARAMS, CONFIG, counting).extend(ids, cache := KVCache(CONFIG))
    assert rows_of_heads == [9, 1]
    np.testing.assert_allclose(last, whole[:, -1], atol=2e-5)
    np.testing.assert_allclose(run.extend(ids, KVCache(CONFIG)), whole[:, -1], atol=2e-5)
    after = rng.integers(0, 99, (1, 8))
    np.testing.assert_allclose(
        run.extend(after, cache), run.extend(np.concatenate((ids, after), 1), KVCache(CONFIG)), atol=2e-5
    )


@WITH
def test_several_sequences(run, rng):
    ids = rng.integers(0, 99, (3, 4))
    full, _ = forward(PARAMS, CONFIG, ids)
    cache = KVCache(CONFIG, 3)
    np.testing.assert_allclose(run.extend(ids, cache, all_logits=True), full, atol=1e-4)
    assert cache.lengths.tolist() == [4, 4, 4]


@WITH
@pytest.mark.parametrize("n_tokens", [5, 9])
def test_what_does_not_fit_changes_nothing(run, n_tokens):
    cache = KVCache(CONFIG)
    run.extend(np.zeros((1, 60), np.int64), cache)
    with pytest.raises(ContextFullError, match=f"60 are used, {n_tokens} more do not fit"):
        run.extend(np.zeros((1, n_tokens), np.int64), cache)
    assert cache.lengths.tolist() == [60]


@WITH
@pytest.mark.parametrize("new", [[7], [7, 8, 9], list(range(20))], ids=["step", "few", "chunks"])
def test_an_interrupt_between_any_two_lines_leaves_nothing_half_done(run, new, monkeypatch):
    """Ctrl-C at every line that Python runs below `Session.feed`, each in a run of its own."""
    from minillama.inference import session as module

    monkeypatch.setattr(module, "PREFILL_CHUNK", 8)
    # An exception of a tracing function, unlike Ctrl-C, may strike between the end of a `with` and its __exit__.
    monkeypatch.setattr(STATE, "kernels", threading.RLock())
    first = [5, 17, 3, 88, 41]
    ids = first + new
    expected = forward(PARAMS, CONFIG, ids)[0][0, -1]
    session, at = Session(run), 0
    session.feed(first)
    interrupted = True
    while interrupted:
        session.rewind(len(first))
        interrupted = interrupt(lambda: session.feed(new) if len(new) > 1 else session.step(new[0]), at, HOLD_STATE)
        at += 1
        assert session.position == session.cache.lengths[0] == len(session.tokens)
        assert session.tokens == ids[: session.position]
        if at % 7 == 1 or not interrupted:  # going on from there is what counts
            np.testing.assert_allclose(session.continue_with(ids), expected, atol=1e-4)
    assert at > 20


def test_a_failure_between_few_tokens_changes_nothing(monkeypatch):
    """The third of four tokens fails: none of them counts."""
    run = FusedRunner(repack_model(PARAMS), CONFIG)
    session, steps, step = Session(run), [], run._decoder.step
    session.feed([1, 2])

    def failing(*args):
        steps.append(args)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(run._decoder, "step", failing)
    with pytest.raises(KeyboardInterrupt):
        session.feed([3, 4, 5, 6])
    assert (session.tokens, session.cache.lengths.tolist()) == ([1, 2], [2])
    monkeypatch.undo()
    np.testing.assert_allclose(
        session.feed([3, 4, 5, 6]), forward(PARAMS, CONFIG, [1, 2, 3, 4, 5, 6])[0][0, -1], atol=1e-4
    )


def test_only_the_untouched_table_takes_the_fused_kernel():
    """A replaced function, the reference and exact=True all run layer by layer."""
    mine, _ = wrapped("swiglu_forward")
    assert isinstance(runner_for(PARAMS, CONFIG), FusedRunner)
    for chosen in (
        runner_for(PARAMS, CONFIG, mine),
        runner_for(PARAMS, CONFIG, REFERENCE),
        runner_for(PARAMS, CONFIG, exact=True),
    ):
        assert isinstance(chosen, LayerRunner)
    assert runner_for(PARAMS, CONFIG, REFERENCE).params is PARAMS
    assert runner_for(PARAMS, CONFIG, exact=True).params is PARAMS


def test_what_cannot_be_repacked_runs_layer_by_layer(monkeypatch):
    monkeypatch.setattr(repacked_model, "_MOST_FLOATS", 1000)
    chosen = runner_for(PARAMS, CONFIG)
    assert isinstance(chosen, LayerRunner)
    assert chosen.params is PARAMS


@pytest.mark.parametrize("name", Ops._fields[:6])
def test_a_replaced_op_always_really_runs(name):
    """In a session, in a batch, and when the table is exchanged later."""
    ops, calls = wrapped(name)
    changed = LLM(PARAMS, CONFIG, None)
    changed.use_ops(ops)
    for llm in (LLM(PARAMS, CONFIG, None, ops=ops), changed):
        assert llm.ops == ops
        for act in (
            lambda llm=llm: llm.session().feed([1, 2, 3]),
            lambda llm=llm: llm.session().step(1),
            lambda llm=llm: generate_batch(llm.runner, [[1], [2, 3]], Sampling(), max_tokens=2),
        ):
            calls.clear()
            act()
            assert calls


def test_nothing_is_packed_twice(monkeypatch):
    """Another function than the product keeps the repacked matrices; another product drops them."""
    packed = []
    original = runner.repack_model
    monkeypatch.setattr(runner, "repack_model", lambda params: packed.append(1) or original(params))
    llm = LLM(PARAMS, CONFIG, None)
    matrices = llm.runner.repacked
    llm.use_ops(wrapped("rope_forward")[0])
    assert llm.runner.repacked is matrices
    llm.use_ops(FAST)
    assert isinstance(llm.runner, FusedRunner)
    assert llm.runner.repacked is matrices
    assert len(packed) == 1
    llm.use_ops(wrapped("linear_forward")[0])
    assert llm.runner.repacked is None
    llm.use_ops(REFERENCE)
    assert llm.runner.repacked is None
    assert len(packed) == 1


def test_an_open_session_keeps_its_runner():
    llm = LLM(PARAMS, CONFIG, None)
    session = llm.session()
    llm.use_ops(REFERENCE)
    assert session.runner.ops == FAST
    assert llm.session().runner.ops == REFERENCE


def test_sessions_share_the_buffers_of_a_runner():
    """Two sessions in turn, each with a cache of its own."""
    expected = forward(PARAMS, CONFIG, [[5, 6, 7, 8], [9, 1, 2, 3]])[0]
    pair = [Session(RUNNERS["fused"]) for _ in range(2)]
    for t in range(4):
        for session, ids, logits in zip(pair, [[5, 6, 7, 8], [9, 1, 2, 3]], expected):
            np.testing.assert_allclose(session.step(ids[t]), logits[t], atol=1e-4)


@WITH
@pytest.mark.parametrize("kv_dtype", ["float32", "float16"])
def test_a_row_of_a_batch_is_the_row_alone(run, kv_dtype):
    """Short prompts go through the fused kernel in both, and what is in the cache is rounded in both."""
    prompts, settings = [[5, 17, 3], [88], list(range(30)), [7, 7, 7, 7, 7, 7, 7]], Sampling(temperature=1.2)
    rows = generate_batch(run, prompts, settings, max_tokens=12, seed=5, kv_dtype=kv_dtype)
    for b, (prompt, row) in enumerate(zip(prompts, rows)):
        session = Session(run, kv_dtype=kv_dtype)
        session.feed(prompt)
        tokens = list(TokenStream(session, settings, np.random.default_rng(5 + b), max_tokens=12))
        assert row.ids == [token.id for token in tokens]
        np.testing.assert_allclose(row.logprobs, [token.logprob for token in tokens], atol=1e-3)


@WITH
def test_a_batch_checks_its_ids_before_it_runs(run, monkeypatch):
    monkeypatch.setattr(run, "extend", lambda *_, **__: pytest.fail("ran"), raising=False)
    for prompts, message in (
        ([[1], [99]], r"in \[0, 99\).*got 99"),
        ([[1], [-1]], "got -1"),
        ([[1], [[1], [2]]], "prompt 1 is 2"),
        ([[1], [0.5]], "tokens must be integers"),
    ):
        with pytest.raises(ValueError, match=message):
            generate_batch(run, prompts, Sampling(), max_tokens=2)


@WITH
def test_one_error_for_ids_outside_the_vocabulary(run):
    """Whichever door they come through."""
    session = Session(run)
    for act in (
        lambda: session.step(99),
        lambda: session.feed([1, 99]),
        lambda: session.feed_all([99] * 9),
        lambda: forward(PARAMS, CONFIG, [99]),
        lambda: generate_batch(run, [[99]], Sampling(), max_tokens=1),
    ):
        with pytest.raises(ValueError, match=r"token ids must be in \[0, 99\), the vocabulary of the model; got 99"):
            act()
    with pytest.raises(TypeError):
        session.step(1.0)
    assert session.position == 0


def test_fast_is_compared_in_one_module_only():
    """Everybody else holds the runner that was chosen."""
    marks = ("is FAST", "is not FAST", "== FAST", "!= FAST", "FAST.linear_forward and")
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(mark in path.read_text() for mark in marks)
    }
    assert found == {"inference/runner.py"}
