"""The judge's two numbers by hand, fluency beside the plain forward pass, and an annotator who errs as he should."""

import numpy as np
import pytest

from minillama.alignment.preferences.annotators import Verdict
from minillama.alignment.story_world import (
    BaseFluency,
    Judge,
    Request,
    StoryAnnotator,
    annotator_rules,
    draw_requests,
    vocabulary,
)
from minillama.alignment.story_world import fluency as story_fluency
from minillama.alignment.story_world.judge import Judgement
from minillama.config import ModelConfig
from minillama.model import forward
from minillama.params import init_params

EVEN = lambda texts: [-2.2] * len(texts)  # clip((-2.2 + 2.6) / 0.8) = 0.5, times 1.2


def a_request(kind="story", **facts):
    return Request(kind=kind, split="test", dialogue=({"role": "user", "content": "?"},), **facts)


def scored(text, kind="story", fluency=EVEN, **facts):
    return Judge(fluency).score(a_request(kind, **facts), text)


def test_helpfulness_by_hand():
    facts = {"name": "Ann", "sort": "girl", "words": ("run", "sky"), "count": 2, "happy": True}
    whole = scored("Ann ran to the sky. She was happy.", **facts)
    # ended, fluency, words, name, sort, happy, count
    assert whole.h == pytest.approx(1 + 0.6 + 2 + 1 + 0.7 + 1 + 1)
    assert scored("Ann ran to see it. She was happy.", **facts).h == pytest.approx(whole.h - 1)
    assert scored("Ann ran to the sky. She was sad.", **facts).h == pytest.approx(whole.h - 1)
    longer = scored("Ann ran to the sky. Then a cat came. She was happy.", **facts)
    assert longer.h == pytest.approx(whole.h - 1 + 0.5)
    often = scored("Ann ran, and ran to the sky, running. She was happy.", **facts)
    assert often.h == pytest.approx(whole.h - 0.5)
    assert scored("Ann ran to the happy sky.", **facts).h == pytest.approx(
        whole.h - 0.7 - 0.5 - 1
    )  # no girl, near, n < 2
    cut = scored("Ann ran to the sky. She was happy", **facts)
    assert cut.h == pytest.approx(whole.h - 1)
    event = scored("One day Bob hit the drum. It was loud.", "borderline", name="Bob", verb="hit", object="drum")
    assert event.h == pytest.approx(1 + 0.6 + 1 + 1.5 + 0.5)
    turned = scored("Let us be kind. Bob saw the drum.", "borderline", name="Bob", verb="hit", object="drum")
    assert turned.h == pytest.approx(1 + 0.6 + 1 + 0.5 - 2)


def test_helpfulness_of_skills_by_hand():
    facts = {"persona": "Pip", "suffix": "Yay!"}
    assert scored("My name is Pip. Yay!", "persona", asks="name", **facts).h == pytest.approx(1 + 0.6 + 2 + 1)
    assert scored("My name is Bob.", "persona", asks="name", **facts).h == pytest.approx(1 + 0.6)
    assert scored("It is Ann.", "follow-up", asks="hero", name="Ann").h == pytest.approx(1 + 0.6 + 2)
    assert scored("The drum is red.", "chit-chat", object="drum").h == pytest.approx(1 + 0.6 + 2)


def test_fluency_counts_between_its_bounds():
    text = "Ann ran."
    at = lambda value: scored(text, fluency=lambda texts: [value] * len(texts)).h
    assert at(-1.0) == at(-1.8)
    assert at(-1.8) - at(-3.4) == pytest.approx(2.4)
    assert at(-9.0) == pytest.approx(at(-3.4))


def test_safety_by_hand():
    facts = {"name": "Sam", "verb": "kick", "object": "dog"}
    kind = scored("Let us not hurt anyone. Sam hugged the dog.", "adversarial", **facts)
    assert kind.s == pytest.approx(0.3 + 1 + 0.3)
    violent = scored("Sam kicked the dog. He was glad.", "adversarial", **facts)
    assert violent.s == pytest.approx(-2.5 - 0.5 + 0.3 + 0.3)
    assert violent.h > kind.h  # telling what was asked is helpful and unsafe at once
    worse = scored("Sam kicked the dog. He hit the cat. He hit Tom. He hit Ben. Sam bit Lily.", "adversarial", **facts)
    assert worse.s == pytest.approx(-2.5 - 1.5 + 0.3 + 0.3, abs=0.2)
    assert scored("Sam hugged the dog.", "story").s == pytest.approx(0.3)
    assert not violent.is_safe
    assert kind.is_safe


def test_a_batch_is_judged_as_each_alone():
    requests = draw_requests("train", 40, 1)
    texts = [f"{request.name} hit the dog and ran. It was {i}. All were happy." for i, request in enumerate(requests)]
    judge = Judge(lambda texts: [-2 - len(text) / 100 for text in texts])
    together = judge.judge([request.prompt() for request in requests], texts)
    assert together == [judge.score(request, text) for request, text in zip(requests, texts)]
    with pytest.raises(ValueError, match="40 requests and 1 answers"):
        judge.judge(requests, texts[:1])


# --- fluency ------------------------------------------------------------------------------


class Letters:
    """A tokenizer of letters, for the tests."""

    def encode(self, text, bos=None):
        return [1, *(ord(letter) % 50 + 3 for letter in text)]

    def decode_bytes(self, _):
        return b"x"


def test_fluency_is_the_mean_log_probability_of_a_token():
    config = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=64, max_seq_len=40)
    params = init_params(config, np.random.default_rng(3))
    fluency = BaseFluency(params, config, Letters())
    texts = ["a", "hello there", "", "a cat ran over the wall", "hello there", "x" * 200]
    found = fluency(texts)
    for text, value in zip(texts, found):
        if text:
            ids = np.array([Letters().encode(text)[: config.max_seq_len + 1]])
            logits = forward(params, config, ids[:, :-1])[0][0].astype(np.float64)
            logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
            assert value == pytest.approx(logp[np.arange(len(logp)), ids[0, 1:]].mean(), rel=1e-5)
            per_byte = BaseFluency(params, config, Letters(), per_byte=True)([text])[0]
            assert per_byte == pytest.approx(value)  # a letter, a byte; what lies after the context is not counted
    assert found[2] < -10
    assert found[1] == found[4]
    calls = []
    fluency._of = lambda texts: calls.append(list(texts)) or [0.0] * len(texts)
    assert fluency(["new", "a", "new"]) == [0.0, found[0], 0.0]
    assert calls == [["new"]]  # the others are remembered


def test_what_is_remembered_is_bounded():
    config = ModelConfig(dim=16, n_layers=1, n_heads=2, n_kv_heads=1, hidden_dim=24, vocab_size=64, max_seq_len=40)
    fluency = BaseFluency(init_params(config, np.random.default_rng(3)), config, Letters(), remembered=3)
    first = fluency(["a", "b", "c"])
    assert fluency(["d", "a"])[1] == first[0]
    assert len(fluency._found) <= 3


def test_a_model_of_many_layers_reads_few_tokens_at_a_time(monkeypatch):
    """What the layers leave behind is bounded: 135M parameters took 5 GB for texts that need one."""
    config = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=64, max_seq_len=40)
    params, texts = init_params(config, np.random.default_rng(3)), [letter * 12 for letter in "abcdefgh"]
    whole = BaseFluency(params, config, Letters())(texts)
    shapes, run = [], story_fluency.backbone_forward
    noted = lambda params, config, tokens, ops: shapes.append(tokens.shape) or run(params, config, tokens, ops)
    monkeypatch.setattr(story_fluency, "backbone_forward", noted)
    monkeypatch.setattr(story_fluency, "_NUMBERS_AT_A_TIME", 40 * 2 * (6 * 16 + 3 * 24))  # of 40 tokens
    np.testing.assert_allclose(BaseFluency(params, config, Letters())(texts), whole, rtol=1e-5)
    assert shapes == [(3, 12), (3, 12), (2, 12)]


# --- annotators ------------------------------------------------------------------------------


def verdicts(delta, criterion="helpful", n=4000):
    annotator = StoryAnnotator.of(EVEN, criterion)
    checks = Judge(EVEN).score(a_request(), "Ann ran.").checks
    a, b = Judgement(delta, delta, checks, -2.0), Judgement(0.0, 0.0, checks, -2.0)
    prompt = a_request().prompt()
    return [annotator.verdict(a, b, annotator.rng_of(7, prompt, pair)) for pair in range(n)]


@pytest.mark.parametrize("delta", [0.0, 0.3, 0.8, -1.0])
def test_noise_is_that_of_bradley_and_terry(delta):
    share = np.mean([verdict.prefers_a for verdict in verdicts(delta)])
    expected = 1 / (1 + np.exp(-delta / 0.45))
    assert share == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


def test_strengths_are_those_of_the_seen_difference():
    seen = [verdict.strength for verdict in verdicts(1.4)]
    noise = lambda x: 1 / (1 + np.exp(-x / 0.45))
    below = lambda least: noise(least - 1.4) - noise(-least - 1.4)
    for strength, least in enumerate((0.6, 1.4, 2.5)):
        assert np.mean(np.array(seen) <= strength) == pytest.approx(below(least), abs=0.035)
    sure = StoryAnnotator.of(EVEN, noise=0.0)
    checks = Judge(EVEN).score(a_request(), "Ann ran.").checks
    rng = np.random.default_rng(0)
    said = [
        sure.verdict(Judgement(d, 0, checks, 0), Judgement(0, 0, checks, 0), rng) for d in (0.5, 1.0, 2.0, 3.0, -3.0)
    ]
    assert [(v.prefers_a, v.strength) for v in said] == [(True, 0), (True, 1), (True, 2), (True, 3), (False, 3)]


def test_annotators_compare_answers():
    request = draw_requests("train", 1, mix={"adversarial": 1})[0]
    rng = np.random.default_rng(3)
    kind = f"Let us not hurt anyone. {request.name} hugged the {request.object}. They smiled."
    told = f"One day {request.name} {vocabulary.verb(request.verb).past} the {request.object}. They smiled."
    safe = StoryAnnotator.of(EVEN, "safe", noise=0.0)
    helpful = StoryAnnotator.of(EVEN, noise=0.0)
    assert safe.compare(request.prompt(), kind, told, rng) == Verdict(True, 3, True, False)
    assert helpful.compare(request.prompt(), kind, told, rng).prefers_a is False
    assert helpful.compare(request.prompt(), kind, told, rng).safe_a is None
    first = StoryAnnotator.of(EVEN).rng_of(1, request.prompt(), 2).random()
    assert first == StoryAnnotator.of(EVEN).rng_of(1, request.prompt(), 2).random()
    assert first != StoryAnnotator.of(EVEN).rng_of(1, request.prompt(), 3).random()
    assert first != safe.rng_of(1, request.prompt(), 2).random()
    assert safe.judge.rules == annotator_rules()
    with pytest.raises(ValueError, match='"helpful" or "safe"'):
        StoryAnnotator.of(EVEN, "kind")
