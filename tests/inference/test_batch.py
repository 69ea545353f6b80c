"""Many sequences at once: every row is the row alone, whoever is beside it, and what is shared exists once."""

import copy
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interrupts import interrupt

import minillama
from minillama.compute.forking import STATE
from minillama.compute.jit import kernel_threads
from minillama.config import ModelConfig
from minillama.inference.batch import Batch
from minillama.inference.generate import TokenStream, generate_batch
from minillama.inference.repacked_model import repack_model
from minillama.inference.runner import FusedRunner, LayerRunner
from minillama.inference.sampling import GREEDY, Sampling
from minillama.inference.session import Session, SessionInUseError
from minillama.kv_cache import ContextFullError
from minillama.ops import FAST
from minillama.params import init_params
from minillama.quantization.formats import quantize
from minillama.trees import map_tree

WARM = Sampling(temperature=1.3, top_p=0.95)


def make_runner(kind=None, **changes):
    """A small random model; with three key heads, whose positions two threads share."""
    fields = {"dim": 96, "n_layers": 2, "n_heads": 6, "n_kv_heads": 3, "hidden_dim": 128, "vocab_size": 99} | changes
    config = ModelConfig(max_seq_len=260, tied=True, **fields)
    params = map_tree(lambda a: 8 * a if a.ndim == 2 else a, init_params(config, np.random.default_rng(0)))
    if kind is not None:
        params = map_tree(lambda a: quantize(a, kind) if a.ndim == 2 else a, params)
    return FusedRunner(repack_model(params, anyway=True), config)


QUANTIZED = make_runner("Q4_1")
RUNNERS = {"Q4_1": QUANTIZED, "Q8_0": make_runner("Q8_0"), "F32": make_runner()}
# Where a prompt goes through BLAS, the number of its tokens decides how sums are rounded.
IN_INTEGERS = QUANTIZED.in_integers
HOLD_STATE = (
    "inference/batch.py",
    "inference/prompts.py",
    "inference/runner.py",
    "inference/sampling.py",
    "inference/together.py",
    "kv_cache.py",
)


def alone(runner, prompt, seed, sampling=WARM, max_tokens=10, kv_dtype=np.float32, **options):
    """What a session gives: (id, log-probability) of each token, and why they end."""
    session = Session(runner, kv_dtype=kv_dtype)
    session.feed(prompt)
    rng = np.random.default_rng(seed)
    stream = TokenStream(session, sampling, rng, max_tokens=max_tokens, **options)
    return list(stream), stream.finish_reason


def found(row):
    return row.tokens, row.finish_reason


def assert_close(row, expected):
    """Equal ids; log-probabilities to within the rounding of floats."""
    tokens, reason = expected
    assert ([token.id for token in row.tokens], row.finish_reason) == ([token.id for token in tokens], reason)
    np.testing.assert_allclose(row.logprobs, [token.logprob for token in tokens], atol=1e-4)


def random_ids(n, seed):
    return np.random.default_rng(seed).integers(0, 99, n).tolist()


SYSTEM, LONGER = random_ids(64, 1), random_ids(130, 2)
# Of one token and of many, through one kernel or the other, with a beginning in common or all of it.
PROMPTS = [
    [5], [5, 17, 3], random_ids(6, 3), random_ids(7, 4), random_ids(40, 5), random_ids(150, 6),
    [*SYSTEM, *random_ids(9, 7)], [*SYSTEM, *random_ids(7, 8)], [*SYSTEM, 1, 2], SYSTEM,
    LONGER, [*LONGER, *random_ids(30, 9)], [*LONGER, *random_ids(70, 10)], random_ids(250, 11),
]  # fmt: skip


@pytest.mark.parametrize("kv_dtype", ["float32", "float16"])
@pytest.mark.parametrize("max_rows", [64, 5, 1])
@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_every_row_is_the_row_alone(kind, max_rows, kv_dtype, threads):
    """To the last bit of its log-probabilities, where all products are integer ones."""
    runner = RUNNERS[kind]
    rows = generate_batch(
        runner, PROMPTS * 2, WARM, max_tokens=12, seed=3, stop_ids=frozenset([7]), max_rows=max_rows, kv_dtype=kv_dtype
    )
    for b, (prompt, row) in enumerate(zip(PROMPTS * 2, rows)):
        tokens, reason = alone(runner, prompt, 3 + b, max_tokens=12, stop_ids=frozenset([7]), kv_dtype=kv_dtype)
        assert (row.ids, row.finish_reason) == ([token.id for token in tokens], reason)
        if IN_INTEGERS or len(prompt) < 64:
            assert row.logprobs == [token.logprob for token in tokens]
            assert row.sampled_logprobs == [token.sampled_logprob for token in tokens]
        np.testing.assert_allclose(row.logprobs, [token.logprob for token in tokens], atol=1e-3)


def test_floats_are_the_row_alone_too(threads):
    """To the last bit; where BLAS multiplies, but for a shared beginning, which it rounds otherwise than all of it."""
    runner = RUNNERS["F32"]
    for prompts, exact in (([p for p in PROMPTS if len(p) < 64], True), (PROMPTS, runner.rows_alone)):
        rows = generate_batch(runner, prompts, WARM, max_tokens=12, seed=3)
        for b, (prompt, row) in enumerate(zip(prompts, rows)):
            tokens, _ = alone(runner, prompt, 3 + b, max_tokens=12)
            assert row.ids == [token.id for token in tokens]
            assert not exact or row.logprobs == [token.logprob for token in tokens]
            np.testing.assert_allclose(row.logprobs, [token.logprob for token in tokens], atol=1e-4)


def test_without_shared_beginnings_a_row_in_blas_is_the_row_alone(threads):
    """To the last bit of its log-probabilities, also of a prompt that begins as its neighbour."""
    params = map_tree(
        lambda a: 8 * a if a.ndim == 2 else a, init_params(RUNNERS["F32"].config, np.random.default_rng(0))
    )
    runner = LayerRunner(params, RUNNERS["F32"].config)
    assert not runner.rows_alone
    prompts = [[*SYSTEM, *random_ids(9, 7)], [*SYSTEM, *random_ids(8, 8)], [*SYSTEM, *random_ids(9, 7)]]
    found = []
    for shown in (prompts, prompts[:1]):
        batch = Batch(runner, WARM, max_tokens=1, share_beginnings=False)
        found.append(batch.add(shown, [1] * len(shown)))
        run_out(batch)
    assert found[0][0].logprobs == found[0][2].logprobs == found[1][0].logprobs


def test_another_table_of_functions():
    """Layer by layer, with a function of one's own."""
    ops = FAST._replace(rope_forward=lambda *a: FAST.rope_forward(*a))
    runner = LayerRunner(RUNNERS["F32"].repacked.params, RUNNERS["F32"].config, ops)
    batch = Batch(runner, WARM, max_tokens=10, max_rows=5)
    rows = batch.add(PROMPTS, range(len(PROMPTS)))
    while batch:
        batch.step()
    for b, row in enumerate(rows):
        assert_close(row, alone(runner, PROMPTS[b], b))


_ALONE = {}


def cached_alone(which, seed):
    key = which, seed, kernel_threads()
    if key not in _ALONE:
        _ALONE[key] = alone(QUANTIZED, PROMPTS[which], seed, max_tokens=9, stop_ids=frozenset([7, 50]))
    return _ALONE[key]


ADD = st.tuples(st.just("add"), st.lists(st.integers(0, len(PROMPTS) - 1), min_size=1, max_size=6), st.integers(0, 2))
ACTS = st.lists(st.one_of(ADD, st.just(("step",)), st.tuples(st.just("remove"), st.integers(0, 20))), max_size=25)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, max_rows=st.integers(1, 7))
def test_any_order_of_joining_and_leaving(acts, max_rows, threads):
    batch, rows = Batch(QUANTIZED, WARM, max_tokens=9, stop_ids=frozenset([7, 50]), max_rows=max_rows), []
    ended, removed = [], []
    for act, *details in acts:
        if act == "add":
            which, seed = details
            new = batch.add([PROMPTS[i] for i in which], [seed] * len(which))
            rows += [(i, seed, row) for i, row in zip(which, new)]
        elif act == "step":
            ended += batch.step()
        elif rows:
            row = rows[details[0] % len(rows)][2]
            removed += [row] if row.finish_reason is None else []
            batch.remove(row)
    while batch:
        ended += batch.step()
    for which, seed, row in rows:
        tokens, reason = cached_alone(which, seed)
        got = [(token.id, token.logprob) for token in row.tokens]
        expected = [(token.id, token.logprob) for token in tokens]
        if not IN_INTEGERS:
            got, expected = row.ids, [token.id for token in tokens]
        if any(row is other for other in removed):
            assert got == expected[: len(got)]
        else:
            assert (got, row.finish_reason) == (expected, reason)
            assert sum(row is other for other in ended) == 1
    assert batch.caches.n_free == max_rows
    assert batch.caches.nbytes == 0


def test_a_real_model():
    """stories3M, in more rows than one call of the kernel takes."""
    llm = minillama.load("stories3M")
    prompts = [llm.encode_prompt(text) for text in ("", "Once upon a time", "The big red dog", "Lily and Tom")] * 20
    rows = generate_batch(llm.runner, prompts, Sampling(), max_tokens=20, seed=1, max_rows=70, n_ids=2000)
    for b in (0, 1, 2, 3, 33, 66, 79):
        tokens, _ = alone(llm.runner, prompts[b], 1 + b, Sampling(), max_tokens=20, n_ids=2000)
        assert rows[b].ids == [token.id for token in tokens]
        if isinstance(llm.runner, FusedRunner):  # without the instructions for it, it runs in floats
            assert rows[b].logprobs == [token.logprob for token in tokens]
        np.testing.assert_allclose(rows[b].logprobs, [token.logprob for token in tokens], atol=1e-4)


def test_a_shared_beginning_exists_once():
    """In the caches' own count, and at the peak of memory."""
    config = QUANTIZED.config
    bytes_of_position = 2 * 4 * config.n_layers * config.n_kv_heads * config.head_dim
    prompts = [[*random_ids(192, 1), *random_ids(8, seed)] for seed in range(60)]
    generate_batch(QUANTIZED, prompts, GREEDY, max_tokens=2)  # buffers that stay
    batch = Batch(QUANTIZED, GREEDY, max_tokens=5)
    tracemalloc.start()
    batch.add(prompts, range(60))
    batch.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    own = 260 - 192  # room to the end of the context
    assert batch.caches.nbytes == bytes_of_position * (192 + 60 * own)
    print(f"peak {peak / batch.caches.nbytes:.2f} of what the caches hold")
    assert peak < bytes_of_position * 60 * 200  # what the whole prompts would take by themselves
    one_of_them = next(cache for cache in batch.caches.caches if cache is not None)
    assert one_of_them.beginning.n_tokens == 192
    del one_of_them
    while batch:
        batch.step()
    assert batch.caches.nbytes == 0
    assert len(batch._prompts._starts) == 0  # nobody holds it any more


def tokens_run(monkeypatch, runner):
    """A list that gets the shape of every piece of a prompt that runs."""
    shapes, extend, each = [], runner.extend, runner.extend_each
    counting = lambda ids, cache, **more: shapes.append(ids.shape[1]) or extend(ids, cache, **more)
    monkeypatch.setattr(runner, "extend", counting)

    def extend_each(ids, caches):
        monkeypatch.setattr(runner, "extend", extend)
        shapes.extend(part.shape[1] for part in ids)
        logits = each(ids, caches)
        monkeypatch.setattr(runner, "extend", counting)
        return logits

    monkeypatch.setattr(runner, "extend_each", extend_each)
    return shapes


def test_what_prompts_have_in_common_runs_once(monkeypatch):
    """Continuations of one prompt, a common beginning, and what comes later while a row still has it."""
    runner = make_runner("Q4_1")
    shapes = tokens_run(monkeypatch, runner)
    batch = Batch(runner, WARM, max_tokens=30, max_rows=20)
    batch.add([PROMPTS[4]] * 8, range(8))
    batch.step()
    assert shapes == [40]
    batch.add([PROMPTS[4]], [9])
    batch.step()
    assert shapes == [40]
    batch.add([PROMPTS[6], PROMPTS[7], PROMPTS[7]], [1, 2, 3])
    batch.step()
    assert sorted(shapes[1:]) == [7, 9, 64]
    batch.add([[*SYSTEM, *random_ids(20, 20)]], [4])
    batch.step()
    assert shapes[4:] == [20]


def test_the_beginning_that_saves_most_is_shared(monkeypatch):
    """Instructions of 128 tokens before 12 questions, two of which have another 64 tokens in common."""
    runner = make_runner("Q4_1")
    shapes = tokens_run(monkeypatch, runner)
    long = random_ids(192, 1)
    prompts = [[*long[:128], *random_ids(20, i)] for i in range(10)] + [[*long, *random_ids(8, i)] for i in (90, 91)]
    generate_batch(runner, prompts, GREEDY, max_tokens=2)
    assert sorted(shapes) == [20] * 10 + [72, 72, 128]
    shapes.clear()
    generate_batch(runner, [*prompts[:1], *prompts[10:]], GREEDY, max_tokens=2)  # now the longer one saves more
    assert sorted(shapes) == [8, 8, 20, 128, 192]


def test_rows_at_once_are_bounded():
    batch = Batch(QUANTIZED, GREEDY, max_tokens=4, max_rows=3)
    rows = batch.add([[i] for i in range(8)], range(8))
    lengths = []
    while batch:
        batch.step()
        lengths.append([len(row.tokens) for row in rows])
        assert sum(0 < n < 4 for n in lengths[-1]) <= 3
    assert lengths[0] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert lengths[4] == [4, 4, 4, 1, 1, 1, 0, 0]
    assert len(lengths) == 12


def test_a_bound_beyond_all_rows_takes_no_memory():
    (row,) = generate_batch(QUANTIZED, [[5]], GREEDY, max_tokens=2, max_rows=10**15)
    assert len(row.ids) == 2


def test_a_deep_copy_goes_on_in_memory_of_its_own():
    prompts = [[5, 17, 3], PROMPTS[6], PROMPTS[7]]
    expected = [alone(QUANTIZED, prompt, 0, GREEDY, 4) for prompt in prompts]
    batch = Batch(QUANTIZED, GREEDY, max_tokens=4, max_rows=4)
    rows = batch.add(prompts, [0] * 3)
    batch.step()
    batch.step()
    other, other_rows = copy.deepcopy((batch, rows))
    caches = batch.caches.caches[:3]
    keys = [cache.k.copy() for cache in caches]
    run_out(other)
    for cache, before in zip(caches, keys):
        np.testing.assert_array_equal(cache.k, before)
    run_out(batch)
    for row, other_row, (tokens, _) in zip(rows, other_rows, expected):
        assert row.ids == other_row.ids == [token.id for token in tokens]


def test_the_end_can_be_kept_and_the_context_ends_a_row():
    ids = [token.id for token in alone(QUANTIZED, [5], 0, GREEDY, 9)[0]]
    stop = frozenset([ids[4]])
    (row,) = generate_batch(QUANTIZED, [[5]], GREEDY, max_tokens=9, stop_ids=stop, keep_stop=True)
    assert (row.ids, row.finish_reason) == (ids[: ids.index(ids[4]) + 1], "stop")
    long, short = generate_batch(QUANTIZED, [random_ids(258, 0), [1]], GREEDY, max_tokens=None)
    assert (len(long.ids), long.finish_reason, len(short.ids)) == (3, "context", 260)


def test_what_cannot_be_is_refused_before_anything_is_added():
    batch = Batch(QUANTIZED, GREEDY, max_tokens=4)
    with pytest.raises(ContextFullError, match="the context holds 260 tokens, prompt 1 has 261; shorten it"):
        batch.add([[1], [2] * 261], [0, 0])
    with pytest.raises(ValueError, match="got 2 prompts and 1 seeds"):
        batch.add([[1], [2]], [0])
    with pytest.raises(ValueError, match="max_rows must be a whole number, 1 or more, got 0"):
        Batch(QUANTIZED, GREEDY, max_tokens=4, max_rows=0)
    assert (len(batch), batch.step()) == (0, [])
    with batch.held:
        caught = []
        other = threading.Thread(target=lambda: caught.append(refusal(batch)))
        other.start()
        other.join()
    assert caught == [SessionInUseError]


def refusal(batch):
    try:
        batch.step()
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=["greedy", "warm"])
def test_an_interrupt_between_any_two_lines_loses_nothing(sampling, monkeypatch):
    """Ctrl-C at every line that Python runs below `Batch.step`, each in a run of its own."""
    monkeypatch.setattr(STATE, "kernels", threading.RLock())  # as in test_runner.py
    prompts = [PROMPTS[i] for i in (1, 3, 6, 7, 7, 4)]
    expected = [alone(QUANTIZED, prompt, 0, sampling, 4) for prompt in prompts]
    interrupted, at = True, 0
    while interrupted:
        batch = Batch(QUANTIZED, sampling, max_tokens=4, max_rows=4)
        rows = batch.add(prompts, [0] * len(prompts))
        interrupted = interrupt(lambda batch=batch: run_out(batch), at, HOLD_STATE)
        run_out(batch)
        for row, (tokens, reason) in zip(rows, expected):
            assert (row.ids, row.finish_reason) == ([token.id for token in tokens], reason)
            if IN_INTEGERS:
                assert row.logprobs == [token.logprob for token in tokens]
        batch.step()  # an interrupt may have come between the last row's end and its leaving
        assert batch.caches.n_free == 4
        at += 1 if at < 250 else 17
    assert at > 300


def run_out(batch):
    while batch:
        batch.step()
