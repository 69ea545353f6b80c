"""The same bytes whatever else is asked, kept or run beside it; and what sharing saves."""

import dataclasses
import gc
import random
import tracemalloc

import numpy as np
import pytest
from blas_kernels import REASON, WIDE, needs_wide

import minillama
from minillama.compute.jit import kernel_threads
from minillama.compute.threads import most_threads, set_threads
from minillama.evaluation.common.requests import Generation, LogLikelihood, Rolling
from minillama.evaluation.engine.encoding import Encoder
from minillama.evaluation.engine.engine import Engine
from minillama.evaluation.engine.generating import Row
from minillama.evaluation.engine.planning import FEED_TOKENS, feeds_of, paths_of, tokens_of
from minillama.evaluation.engine.store import Store
from minillama.ops import REFERENCE, replace_layer

HEADER = "Tom and Sam were friends. They liked to play in the park every day. " * 4
NAMES = ("Tom", "Lily", "the dog", "a bird", "Mom", "the little girl")


def some_requests():
    """Choices that share much and little, some of them the same, texts, and prompts with a beginning in common."""
    choices = [LogLikelihood(f"{HEADER}One day {name}", f" {end}") for name in NAMES for end in ("ran.", "ran home.")]
    choices += [LogLikelihood(name, " was very happy and went home to sleep") for name in NAMES]
    letters = [LogLikelihood(HEADER + "It was", f" {letter}") for letter in "abcd"]
    texts = [Rolling(HEADER[:n]) for n in (0, 1, 40, 200)]
    prompts = [Generation(f"{HEADER}{name} saw", ("\n", "."), 12) for name in NAMES]
    return [*choices, *letters, *choices[:2], *texts, *prompts, Generation(NAMES[0], (), 3)]


MODELS = pytest.mark.parametrize("model", ["stories", "exact_stories"])


@MODELS
@pytest.mark.parametrize("in_float32", [True, False])
def test_a_request_gets_the_same_bits_alone_and_in_any_company(request, model, in_float32):
    if not WIDE and (in_float32 or model == "exact_stories"):
        pytest.skip(REASON)
    llm, requests = request.getfixturevalue(model), some_requests()
    expected = Engine(llm, in_float32=in_float32).ask(requests)
    shuffled = random.Random(3).sample(requests, len(requests))
    for batch_size in (1, 3, 64):
        engine = Engine(llm, batch_size=batch_size, in_float32=in_float32)
        answers = dict(zip(shuffled, engine.ask(shuffled)))
        assert [answers[one] for one in requests] == expected
    engine = Engine(llm, in_float32=in_float32)
    assert [engine.ask([one])[0] for one in requests[::3]] == expected[::3]


@MODELS
def test_as_the_model_itself_says(request, model):
    llm = request.getfixturevalue(model)
    asked = [one for one in some_requests() if isinstance(one, LogLikelihood)]
    for one, answer in zip(asked, Engine(llm, in_float32=False).ask(asked)):
        logprobs = llm.logprobs(one.context, one.continuation)
        assert answer.logprob == pytest.approx(logprobs.sum(), abs=1e-3)
        assert answer.n_tokens == len(logprobs)
    one = Generation(HEADER + "Tom saw", (), 20)
    (answer,) = Engine(llm).ask([one])
    assert list(answer.ids) == llm.generate(one.context, max_tokens=20, temperature=0).ids


def test_greedy_means_the_likeliest_at_every_token(stories):
    context = "Once upon a time, there was a little"
    (written,) = Engine(stories).ask([Generation(context, (), 1)])
    likeliest, other = (LogLikelihood(context, " " + text) for text in (written.text.lstrip(), "xylophone"))
    assert [answer.is_greedy for answer in Engine(stories).ask([likeliest, other])] == [True, False]


def test_two_threads_and_one_score_alike(stories, exact_stories):
    before, asked = kernel_threads(), some_requests()
    found = []
    for n_threads in range(1, most_threads() + 1):
        set_threads(n_threads)
        found.append([Engine(llm, in_float32=llm is exact_stories).ask(asked) for llm in (stories, exact_stories)])
    set_threads(before)
    for other in found:
        for here, there in zip(other, found[0]):
            for a, b in zip(here, there):
                if hasattr(a, "logprob"):
                    assert a.logprob == pytest.approx(b.logprob, abs=1e-4)
                else:
                    assert a.text == b.text


def test_what_requests_share_runs_once(stories):
    encoder = Encoder(stories.tokenizer, 512, 2048)
    pairs = [encoder.pair(one) for one in some_requests() if isinstance(one, LogLikelihood)]
    paths = paths_of(pairs)
    different = {pair.inputs[:n] for pair in pairs for n in range(1, len(pair.inputs) + 1)}
    assert tokens_of(paths) == len(different)  # a tree: every different beginning is one token
    letters = [pair for pair in pairs if len(pair.continuation) == 1]
    assert sum(path.wanted(path.start, len(path.ids)) != [] for path in paths_of(letters)) < len(letters)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
@pytest.mark.parametrize("vocab_size", [2048, 10_000_000])
def test_feeds_hold_every_token_once_and_every_wanted_row(stories, batch_size, vocab_size):
    encoder = Encoder(stories.tokenizer, 512, 2048)
    pairs = [encoder.pair(one) for one in some_requests() if isinstance(one, LogLikelihood)]
    pairs += encoder.windows(Rolling(HEADER * 10))
    paths = paths_of(pairs)
    feeds = list(feeds_of(paths, vocab_size, batch_size))
    assert sum(feed.n_tokens for feed in feeds) == tokens_of(paths)
    assert max(feed.n_tokens for feed in feeds) <= FEED_TOKENS
    assert max(len(set(feed.paths)) for feed in feeds) <= batch_size
    most = max(1, (64 << 20) // (4 * vocab_size))
    assert max(sum(len(branch.wanted) for branch in feed.branches) for feed in feeds) <= most
    wanted = sum(len(path.wanted(path.start, len(path.ids))) for path in paths)
    assert sum(len(branch.wanted) for feed in feeds for branch in feed.branches) == wanted


def test_replaced_functions_really_run(stories):
    calls = []

    def attention(q, k, v, positions, *window):
        calls.append(q.shape[2])
        return REFERENCE.attention_forward(q, k, v, positions, *window)[0]

    own = minillama.load("stories3M", ops=replace_layer("attention", forward=attention))
    asked = some_requests()[:6]
    for a, b in zip(Engine(own).ask(asked), Engine(stories).ask(asked)):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-3)
    assert calls


@needs_wide
def test_keys_of_float16():
    llm = minillama.load("stories3M", kv_dtype=np.float16)
    asked = some_requests()
    expected = Engine(llm).ask(asked)
    assert [Engine(llm, batch_size=2).ask([one])[0] for one in asked[:4]] == expected[:4]


def test_no_requests(stories):
    assert Engine(stories).ask([]) == []


def test_progress_is_counted_in_tokens(stories):
    seen = []
    Engine(stories).ask(some_requests(), progress=seen.append)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    last = seen[-1]
    assert last.done == last.total
    assert last.answered == last.requests == len(dict.fromkeys(some_requests()))
    assert last.seconds_left == 0
    assert all(one.seconds_left >= 0 for one in seen if one.done)


def test_settings_are_checked(stories):
    with pytest.raises(ValueError, match="batch_size"):
        Engine(stories, batch_size=0)
    with pytest.raises(ValueError, match="reads 512 tokens"):
        Engine(stories, max_length=513)


def test_memory_does_not_grow_with_the_list(stories):
    """What is kept beside requests and answers: one path, the logits of a feed, the rows of a batch."""
    engine = Engine(stories)
    long = [LogLikelihood(f"{i} {HEADER}", " and then") for i in range(150)]
    long += [Generation(f"{i} {HEADER}", (), 8) for i in range(40)]
    engine.ask(long[:2])
    gc.collect()
    tracemalloc.start()
    engine.ask(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 96 << 20


def test_answers_are_values(stories):
    (answer,) = Engine(stories).ask([LogLikelihood("Tom", " ran")])
    assert dataclasses.replace(answer) == answer
    assert isinstance(answer.logprob, float)
    assert isinstance(answer.is_greedy, bool)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_model_is_a_problem_and_no_score(value, tmp_path):
    """NaN wins every argmax: the first choice would be the answer to every question."""

    def broken(q, k, v, positions, *window):
        return np.full_like(q, value)

    llm = minillama.load("stories3M", ops=replace_layer("attention", forward=broken))
    choice, text, prompt = LogLikelihood("Tom", " ran"), Rolling("Tom ran"), Generation("Tom", (), 5)
    with np.errstate(invalid="ignore"):
        answers = Engine(llm).ask([choice, text, prompt])
    assert all("not finite" in answer.problem for answer in answers)
    assert [answer.logprob for answer in answers[:2]] == [-np.inf, -np.inf]
    assert (answers[2].text, answers[2].ids) == ("", ())


def test_broken_answers_are_not_kept(stories, tmp_path, monkeypatch):
    engine = Engine(stories, store=Store(tmp_path))
    monkeypatch.setattr(Row, "is_sound", property(lambda row: False, lambda row, value: None))
    (answer,) = engine.ask([Generation("Tom", (), 5)])
    assert answer.problem
    assert engine.unanswered([Generation("Tom", (), 5)])
