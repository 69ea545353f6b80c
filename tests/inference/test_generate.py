"""Sessions and generation on ids: feeding, rewinding, interrupts, limits, batches."""

import threading

import numpy as np
import pytest

from minillama.config import ModelConfig
from minillama.inference.generate import TokenStream, generate_batch
from minillama.inference.runner import LayerRunner
from minillama.inference.sampling import GREEDY, Sampling, filtered_logits, log_softmax
from minillama.inference.session import Session, SessionInUseError, common_prefix, sequence_logprobs
from minillama.kv_cache import ContextFullError
from minillama.model import forward
from minillama.ops import FAST, Ops
from minillama.params import init_params
from minillama.trees import map_tree

CONFIG = ModelConfig(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=99, max_seq_len=64, tied=True
)
PARAMS = map_tree(lambda a: 10 * a if a.ndim == 2 else a, init_params(CONFIG, np.random.default_rng(0)))
PROMPT = [5, 17, 3, 88, 41]


@pytest.fixture
def session():
    return Session(LayerRunner(PARAMS, CONFIG))


def full_logits(ids):
    return forward(PARAMS, CONFIG, ids)[0][0]


def greedy_by_full_forward(ids, n):
    """The slow way: the whole sequence again for every token."""
    ids = list(ids)
    for _ in range(n):
        ids.append(int(full_logits(ids)[-1].argmax()))
    return ids[-n:]


def stream(session, **options):
    settings = {"sampling": GREEDY, "rng": np.random.default_rng(0), "max_tokens": 10, **options}
    return TokenStream(session, settings.pop("sampling"), settings.pop("rng"), **settings)


def test_feed_and_step_give_the_logits_of_the_full_forward(session):
    np.testing.assert_allclose(session.feed(PROMPT), full_logits(PROMPT)[-1], atol=1e-4)
    np.testing.assert_allclose(session.step(7), full_logits([*PROMPT, 7])[-1], atol=1e-4)
    assert (session.tokens, session.position) == ([*PROMPT, 7], 6)


def test_feed_all_returns_every_position(session):
    session.feed(PROMPT[:2])
    np.testing.assert_allclose(session.feed_all(PROMPT[2:]), full_logits(PROMPT)[2:], atol=1e-4)
    np.testing.assert_allclose(session.logits, full_logits(PROMPT)[-1], atol=1e-4)


def test_rewind_and_go_another_way(session):
    session.feed([*PROMPT, 1, 2, 3])
    session.rewind(5)
    assert session.logits is None
    np.testing.assert_allclose(session.step(9), full_logits([*PROMPT, 9])[-1], atol=1e-4)
    with pytest.raises(ValueError, match="cannot go back to 7: the session is at 6"):
        session.rewind(7)


@pytest.mark.parametrize("then", [[*PROMPT, 4], PROMPT[:3], PROMPT, [50, 51], [*PROMPT[:2], 60, 61, 62]])
def test_continue_with_computes_only_what_is_new(session, then):
    session.feed(PROMPT)
    np.testing.assert_allclose(session.continue_with(then), full_logits(then)[-1], atol=1e-4)
    assert session.tokens == then


def test_continue_with_keeps_the_common_beginning(monkeypatch, session):
    session.feed(PROMPT)
    fed = []
    original = Session.feed
    monkeypatch.setattr(Session, "feed", lambda self, ids: (fed.append(list(ids)), original(self, ids))[1])
    session.continue_with([*PROMPT[:4], 9, 8])
    assert fed == [[9, 8]]


def test_common_prefix():
    assert [common_prefix(a, b) for a, b in [([], [1]), ([1, 2], [1, 3]), ([1, 2], [1, 2, 3])]] == [0, 1, 2]


def test_greedy_equals_the_full_forward(session):
    session.feed(PROMPT)
    assert [token.id for token in stream(session)] == greedy_by_full_forward(PROMPT, 10)


def test_logprobs_are_those_of_the_model_itself(session):
    """Temperature and filters do not enter."""
    session.feed(PROMPT)
    tokens = list(stream(session, sampling=Sampling(temperature=2.0, top_k=5)))
    ids = PROMPT + [token.id for token in tokens]
    expected = log_softmax(full_logits(ids))
    for i, token in enumerate(tokens):
        assert token.logprob == pytest.approx(expected[len(PROMPT) + i - 1, token.id], abs=1e-4)


def test_logprobs_are_also_those_of_what_was_drawn_from(session):
    session.feed(PROMPT)
    settings = Sampling(temperature=2.0, top_k=5, top_p=1, repetition_penalty=1.2)
    tokens = list(stream(session, sampling=settings))
    ids = PROMPT + [token.id for token in tokens]
    full = full_logits(ids)
    for i, token in enumerate(tokens, len(PROMPT)):
        expected = log_softmax(filtered_logits(full[i - 1], settings, ids[:i]))
        assert token.sampled_logprob == pytest.approx(expected[token.id], abs=1e-4)


def test_without_filters_they_are_those_of_given_tokens_at_the_temperature(session):
    session.feed(PROMPT)
    tokens = list(stream(session, sampling=Sampling(temperature=1.7, top_p=1)))
    ids = [token.id for token in tokens]
    given = sequence_logprobs(session, PROMPT, ids, temperature=1.7)
    np.testing.assert_allclose([token.sampled_logprob for token in tokens], given, atol=1e-4)
    np.testing.assert_allclose([token.logprob for token in tokens], sequence_logprobs(session, PROMPT, ids), atol=1e-4)
    assert np.abs(given - sequence_logprobs(session, PROMPT, ids)).max() > 0.1
    session.continue_with(PROMPT)
    assert {token.sampled_logprob for token in stream(session)} == {0.0}  # greedy: nothing is drawn


@pytest.mark.parametrize("settings", [GREEDY, Sampling(temperature=1.2)], ids=["greedy", "sampled"])
def test_the_stop_id_can_be_kept(session, settings):
    """As the last token, with its log-probabilities; everything before is the same."""
    session.feed(PROMPT)
    free = list(stream(session, sampling=settings))
    stop_ids = frozenset([free[4].id])
    n_before = [token.id for token in free].index(free[4].id)
    session.continue_with(PROMPT)
    tokens = stream(session, sampling=settings, stop_ids=stop_ids, keep_stop=True)
    kept = list(tokens)
    assert [token.id for token in kept] == [token.id for token in free[: n_before + 1]]
    assert kept[-1].logprob == pytest.approx(free[n_before].logprob, abs=1e-4)
    assert kept[-1].sampled_logprob == pytest.approx(free[n_before].sampled_logprob, abs=1e-4)
    assert (tokens.finish_reason, list(tokens)) == ("stop", [])
    assert session.tokens == PROMPT + [token.id for token in kept[:-1]]  # it is not fed
    runner, options = LayerRunner(PARAMS, CONFIG), {"max_tokens": 10, "stop_ids": stop_ids}
    for keep_stop, n in ((True, n_before + 1), (False, n_before)):
        (row,) = generate_batch(runner, [PROMPT], settings, keep_stop=keep_stop, **options)
        assert (row.ids, row.finish_reason) == ([token.id for token in free[:n]], "stop")
        np.testing.assert_allclose(row.logprobs, [token.logprob for token in free[:n]], atol=1e-4)
        np.testing.assert_allclose(row.sampled_logprobs, [token.sampled_logprob for token in free[:n]], atol=1e-4)
    (row,) = generate_batch(runner, [PROMPT], settings, keep_stop=True, max_tokens=n_before + 1, stop_ids=stop_ids)
    assert (len(row.ids), row.finish_reason) == (n_before + 1, "stop")


def test_stop_id_is_not_yielded(session):
    expected = greedy_by_full_forward(PROMPT, 10)
    session.feed(PROMPT)
    tokens = stream(session, stop_ids=frozenset([expected[4]]))
    assert [token.id for token in tokens] == expected[: expected.index(expected[4])]
    assert tokens.finish_reason == "stop"
    assert list(tokens) == []


@pytest.mark.parametrize("max_tokens", [0, 1, 7])
def test_length(session, max_tokens):
    session.feed(PROMPT)
    tokens = stream(session, max_tokens=max_tokens)
    assert len(list(tokens)) == max_tokens
    assert tokens.finish_reason == "length"


def test_end_of_the_context():
    """60 of 64 positions used: the model may say 5 more, the last of which is never fed."""
    session = Session(LayerRunner(PARAMS, CONFIG))
    session.feed(np.arange(60))
    tokens = stream(session, max_tokens=None)
    assert len(list(tokens)) == 5
    assert tokens.finish_reason == "context"
    assert session.position == 64
    with pytest.raises(ContextFullError, match="64 are used, 1 more"):
        session.step(1)
    assert session.position == 64


def test_smaller_context_than_the_model_has():
    session = Session(LayerRunner(PARAMS, CONFIG), max_seq_len=8)
    session.feed(PROMPT)
    assert len(list(stream(session, max_tokens=None))) == 4


def test_seeded(session):
    def run(seed):
        session.continue_with(PROMPT)
        settings = Sampling(temperature=1.5, top_p=1)
        return [token.id for token in stream(session, sampling=settings, rng=np.random.default_rng(seed))]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_breaking_off_and_going_on(session):
    """The iterator can be left and taken up again; so can the session by itself."""
    expected = greedy_by_full_forward(PROMPT, 10)
    session.feed(PROMPT)
    tokens = stream(session)
    first = [next(tokens).id for _ in range(4)]
    assert first + [token.id for token in tokens] == expected
    session.continue_with(PROMPT + expected[:3])
    assert [token.id for token in stream(session, max_tokens=7)] == expected[3:]


@pytest.mark.parametrize("op", Ops._fields[:6])
@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_anywhere_leaves_a_usable_session(op, call):
    """Ctrl-C inside any layer of any step: the same iterator continues to the same text."""
    expected = greedy_by_full_forward(PROMPT, 6)
    armed = {"left": -1}

    def interrupted(*args):
        armed["left"] -= 1
        if armed["left"] == 0:
            raise KeyboardInterrupt
        return getattr(FAST, op)(*args)

    session = Session(LayerRunner(PARAMS, CONFIG, FAST._replace(**{op: interrupted})))
    session.feed(PROMPT)
    tokens = stream(session, max_tokens=6)
    got = [next(tokens).id, next(tokens).id]
    armed["left"] = call if op != "embedding_forward" else 1
    with pytest.raises(KeyboardInterrupt):
        next(tokens)
    assert session.position == session.cache.lengths[0] == len(session.tokens)
    got += [token.id for token in tokens]
    assert got == expected


def test_an_interrupted_prompt_keeps_whole_chunks(monkeypatch):
    from minillama.inference import session as module

    monkeypatch.setattr(module, "PREFILL_CHUNK", 10)
    calls = {"left": 3}

    def interrupted(*args):
        calls["left"] -= 1
        if calls["left"] == 0:
            raise KeyboardInterrupt
        return FAST.embedding_forward(*args)

    ops, ids = FAST._replace(embedding_forward=interrupted), list(range(35))
    session = Session(LayerRunner(PARAMS, CONFIG, ops))
    with pytest.raises(KeyboardInterrupt):
        session.feed(ids)
    assert session.tokens == ids[:20]
    np.testing.assert_allclose(session.continue_with(ids), full_logits(ids)[-1], atol=1e-4)


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "there are no tokens"), ([99], "got 99"), ([1, -2], "got -2"), ([[1], [2]], "holds one sequence, got 2")],
)
def test_bad_ids_change_nothing(session, ids, message):
    session.feed(PROMPT)
    with pytest.raises(ValueError, match=message):
        session.feed(ids)
    assert session.tokens == PROMPT
    np.testing.assert_allclose(session.step(7), full_logits([*PROMPT, 7])[-1], atol=1e-4)


def test_too_long_a_prompt_is_refused_before_it_starts(session):
    with pytest.raises(ContextFullError, match="0 are used, 65 more do not fit"):
        session.feed(np.zeros(65, np.int64))
    with pytest.raises(ContextFullError, match="the context holds 64 tokens, the text has 65"):
        session.continue_with([0] * 65)
    assert session.position == 0


def test_streaming_needs_a_prompt(session):
    with pytest.raises(ValueError, match="feed the session a prompt"):
        stream(session)
    session.feed(PROMPT)
    with pytest.raises(ValueError, match="max_tokens must be a whole number, 0 or more"):
        stream(session, max_tokens=-1)


@pytest.mark.parametrize("settings", [GREEDY, Sampling(temperature=1.2)], ids=["greedy", "sampled"])
def test_a_row_of_a_batch_is_the_row_alone(settings):
    """Prompts of different lengths; rows end at different times."""
    prompts = [[5, 17, 3], [88], list(range(30)), [7, 7, 7, 7, 7, 7], [1, 2]]
    stop = frozenset([3, 60, 77, 12])
    rows = generate_batch(LayerRunner(PARAMS, CONFIG), prompts, settings, max_tokens=20, stop_ids=stop, seed=5)
    for b, (prompt, row) in enumerate(zip(prompts, rows)):
        session = Session(LayerRunner(PARAMS, CONFIG))
        session.feed(prompt)
        alone = stream(session, sampling=settings, rng=np.random.default_rng(5 + b), max_tokens=20, stop_ids=stop)
        tokens = list(alone)
        assert row.ids == [token.id for token in tokens]
        assert row.finish_reason == alone.finish_reason
        np.testing.assert_allclose(row.logprobs, [token.logprob for token in tokens], atol=1e-4)
        np.testing.assert_allclose(row.sampled_logprobs, [token.sampled_logprob for token in tokens], atol=1e-4)


def test_a_batch_without_tokens_to_give():
    (row,) = generate_batch(LayerRunner(PARAMS, CONFIG), [PROMPT], GREEDY, max_tokens=0)
    assert (row.ids, row.logprobs, row.finish_reason) == ([], [], "length")


def test_batch_rows_end_at_the_context():
    prompts = [list(range(60)), [1, 2]]
    rows = generate_batch(LayerRunner(PARAMS, CONFIG), prompts, GREEDY, max_tokens=30)
    assert [(len(row.ids), row.finish_reason) for row in rows] == [(5, "context"), (30, "length")]
    assert generate_batch(LayerRunner(PARAMS, CONFIG), [], GREEDY, max_tokens=3) == []
    with pytest.raises(ValueError, match="there are no tokens"):
        generate_batch(LayerRunner(PARAMS, CONFIG), [[1], []], GREEDY, max_tokens=3)


PADDED = [Sampling(temperature=1.5, top_p=1), Sampling(temperature=3, top_k=5, min_p=0.01), GREEDY]
PADDED += [Sampling(temperature=1e-310), Sampling(temperature=1, top_p=0.5, repetition_penalty=1.3)]


@pytest.mark.parametrize("settings", PADDED, ids=str)
@pytest.mark.parametrize("n_ids", [1, 40, 99, 200, None])
def test_ids_beyond_the_tokenizer_are_never_chosen(settings, n_ids):
    """Whatever the prompt holds; the row of a batch likewise."""
    session, prompt = Session(LayerRunner(PARAMS, CONFIG)), [5, 98, 41]
    session.feed(prompt)
    tokens = stream(session, sampling=settings, n_ids=n_ids, max_tokens=12)
    ids = [token.id for token in tokens]
    assert len(ids) == 12
    assert max(ids) < min(n_ids or 99, 99)
    (row,) = generate_batch(LayerRunner(PARAMS, CONFIG), [prompt], settings, max_tokens=12, n_ids=n_ids)
    assert row.ids == ids


@pytest.mark.parametrize("settings", [GREEDY, Sampling(temperature=2, top_p=1)], ids=["greedy", "sampled"])
def test_a_stop_id_beyond_the_tokenizer_ends_the_text(settings):
    """A padded row that the model's files call an end can be chosen; other padded rows cannot."""
    session = Session(LayerRunner(PARAMS, CONFIG))
    session.feed(PROMPT)
    free = [token.id for token in stream(session, sampling=settings, max_tokens=40)]
    end = max(free)
    n_ids = sorted(free)[len(free) // 2]
    session.continue_with(PROMPT)
    tokens = stream(session, sampling=settings, n_ids=n_ids, stop_ids=frozenset([end, 10_000]), max_tokens=None)
    ids = [token.id for token in tokens]
    assert max(ids, default=0) < n_ids
    (row,) = generate_batch(
        LayerRunner(PARAMS, CONFIG), [PROMPT], settings, max_tokens=None, n_ids=n_ids, stop_ids=frozenset([end, 10_000])
    )
    assert (row.ids, row.finish_reason) == (ids, tokens.finish_reason)


def test_the_most_probable_token_may_be_a_stop_id_beyond_the_tokenizer():
    session = Session(LayerRunner(PARAMS, CONFIG))
    best = int(session.feed(PROMPT).argmax())
    assert best > 0
    tokens = stream(session, n_ids=best, stop_ids=frozenset([best]))
    assert [token.id for token in tokens] == []
    assert tokens.finish_reason == "stop"


# --- one session, one answer ---------------------------------------------------------------


def test_an_answer_notices_that_its_session_was_used(session):
    """Two answers in turns on one session would mix their words."""
    changes = {
        "another prompt": lambda: session.continue_with([1, 2, 3]),
        "a token": lambda: session.step(3),
        "rewound": lambda: session.rewind(2),
        "there and back": lambda: session.continue_with([*session.tokens[:3], session.tokens[3]]),
        "scored": lambda: sequence_logprobs(session, [5, 1], [2]),
    }
    for n_before in (0, 1, 3):
        for name, change in changes.items():
            session.rewind(0)
            session.feed(PROMPT)
            tokens = stream(session)
            for _ in range(n_before):
                next(tokens)
            change()
            with pytest.raises(SessionInUseError, match=r"the session is in use: .* a session of its own"):
                next(tokens)
            assert session.position == session.cache.lengths[0] == len(session.tokens), name


def test_an_answer_that_was_left_does_not_hold_its_session(session):
    session.feed(PROMPT)
    left = stream(session)
    next(left)
    expected = greedy_by_full_forward([1, 2], 4)
    session.continue_with([1, 2])
    assert [token.id for token in stream(session, max_tokens=4)] == expected


def test_a_second_thread_is_refused_and_does_no_harm():
    """While a thread is inside the model with this session, every other use of it is refused at once."""
    inside, go_on, found = threading.Event(), threading.Event(), []

    def slow(*args):
        inside.set()
        assert go_on.wait(30)
        return FAST.embedding_forward(*args)

    session = Session(LayerRunner(PARAMS, CONFIG, FAST._replace(embedding_forward=slow)))
    thread = threading.Thread(target=lambda: found.append(session.feed(PROMPT)))
    thread.start()
    assert inside.wait(30)
    uses = [
        lambda: session.feed([1]), lambda: session.feed_all([1]), lambda: session.step(1), lambda: session.rewind(0),
        lambda: session.continue_with([1]), lambda: sequence_logprobs(session, [1], [2]),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(SessionInUseError):
            use()
    go_on.set()
    thread.join()
    np.testing.assert_allclose(found[0], full_logits(PROMPT)[-1], atol=1e-4)
    assert session.tokens == PROMPT
    np.testing.assert_allclose(session.step(7), full_logits([*PROMPT, 7])[-1], atol=1e-4)


def test_an_interrupt_does_not_leave_a_session_in_use():
    def interrupted(*args):
        raise KeyboardInterrupt

    session = Session(LayerRunner(PARAMS, CONFIG, FAST._replace(embedding_forward=interrupted)))
    for use in (lambda: session.feed(PROMPT), lambda: session.step(1), lambda: session.continue_with([1])):
        with pytest.raises(KeyboardInterrupt):
            use()
    session.runner = LayerRunner(PARAMS, CONFIG)
    found = []
    thread = threading.Thread(target=lambda: found.append(session.feed(PROMPT)))
    thread.start()
    thread.join()
    np.testing.assert_allclose(found[0], full_logits(PROMPT)[-1], atol=1e-4)


def test_sequence_logprobs(session):
    context, continuation = [5, 17, 3], [88, 41, 2]
    full = log_softmax(full_logits(context + continuation))
    expected = full[[2, 3, 4], continuation]
    np.testing.assert_allclose(sequence_logprobs(session, context, continuation), expected, atol=1e-4)
    # Again with another continuation: the session keeps the context.
    other = log_softmax(full_logits([*context, 9]))[2, 9]
    np.testing.assert_allclose(sequence_logprobs(session, context, [9]), [other], atol=1e-4)
    with pytest.raises(ValueError, match="the continuation is empty"):
        sequence_logprobs(session, context, [])
    for wrong in (-1, 99):  # the last id is never fed, only looked up
        with pytest.raises(ValueError, match=rf"token ids must be in \[0, 99\), .* got {wrong}"):
            sequence_logprobs(session, context, [88, wrong])
    with pytest.raises(ValueError, match="the context is empty"):
        sequence_logprobs(session, [], [1])
    at_half = log_softmax(full_logits(context + continuation) / 0.5)[[2, 3, 4], continuation]
    np.testing.assert_allclose(sequence_logprobs(session, context, continuation, temperature=0.5), at_half, atol=2e-4)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        sequence_logprobs(session, context, continuation, temperature=0)
