"""What callers give: one mistake in the same words everywhere, and what can only mean one thing is taken as that."""

import copy
import pickle

import numpy as np
import pytest

import minillama
from minillama.inference.sampling import Sampling
from minillama.inference.session import Session
from minillama.inference.text import StopStrings


@pytest.fixture(scope="module")
def llm():
    return minillama.load("stories3M")


def one(llm, **options):
    return llm.generate("Once", **{"max_tokens": 6, "temperature": 0, **options})


WRONG = {
    "temperature": ([True, "1", None], [-1, np.nan, np.inf, 10**400], "temperature must be 0 (greedy) or more"),
    "top_k": ([True, "40", None], [-1, 40.5, np.nan, np.inf], "top_k must be a whole number, 0 (off) or more"),
    "top_p": (["0.9", None], [-0.1, 1.1, np.nan], "top_p must be between 0 and 1 (off)"),
    "min_p": ([None, [0.1]], [-1e-320, 2], "min_p must be between 0 (off) and 1"),
    "repetition_penalty": ([True], [0, -1, np.inf], "repetition_penalty must be above 0; 1 is off"),
    "max_tokens": ([True, "3"], [-1, 2.5, np.inf], "max_tokens must be a whole number, 0 or more, or None"),
    "seed": ([True, "a", [1]], [-1, 2.5, np.nan], "seed must be a whole number, 0 or more, or None"),
}
CASES = [
    (name, value, error, words)
    for name, (kinds, values, words) in WRONG.items()
    for error, wrong in ((TypeError, kinds), (ValueError, values))
    for value in wrong
]


@pytest.mark.parametrize(("name", "value", "error", "words"), CASES)
def test_one_mistake_in_the_same_words_everywhere(llm, name, value, error, words):
    ways = [
        lambda **options: llm.generate("Once", **options),
        lambda **options: llm.stream("Once", **options),
        lambda **options: llm.generate_batch(["Once"], **options),
        lambda **options: llm.chat([{"role": "user", "content": "Hi"}], template="llama-2", **options),
    ]
    if name in Sampling.__dataclass_fields__:
        ways.append(Sampling)
    told = set()
    for way in ways:
        with pytest.raises(error) as found:
            way(**{name: value})
        told.add(str(found.value))
    assert len(told) == 1
    assert told.pop().startswith(words)


@pytest.mark.parametrize("options", [{"stop": 5}, {"stop": b"x"}, {"stop": ["a", 5]}, {"stop": {"a": 1}}], ids=str)
def test_stop_of_another_kind_is_refused_before_anything_runs(llm, options, monkeypatch):
    monkeypatch.setattr(Session, "feed", lambda *_: pytest.fail("the prompt was run"))
    with pytest.raises(TypeError, match="stop must be a text or a list of texts, got"):
        one(llm, **options)


def test_an_empty_stop_string_is_refused(llm):
    for stop in ("", ["a", ""]):
        with pytest.raises(ValueError, match="a stop string must not be empty"):
            one(llm, stop=stop)
        with pytest.raises(ValueError, match="a stop string must not be empty"):
            StopStrings(stop)


def test_a_stop_text_is_a_list_of_one(llm):
    expected = one(llm, stop=[" a time"])
    assert expected.finish_reason == "stop"
    for stop in (" a time", (" a time",), {" a time"}, iter([" a time"]), np.str_(" a time")):
        found = one(llm, stop=stop)
        assert (found.text, found.finish_reason) == (expected.text, "stop")
    assert one(llm, stop=None).text == one(llm, stop=()).text == one(llm).text


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 4.0}, {"top_k": np.int64(4)}, {"top_k": np.float32(4)},
        {"seed": 3.0}, {"seed": np.uint8(3)},
        {"max_tokens": 5.0}, {"max_tokens": np.int16(5)},
        {"temperature": np.float32(1)}, {"top_p": np.float64(0.5)}, {"repetition_penalty": 2},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_of_every_library(llm, options):
    (name, value), plain = next(iter(options.items())), {"temperature": 1.0, "seed": 7}
    expected = one(llm, **{**plain, name: int(value) if float(value).is_integer() else float(value)})
    assert one(llm, **{**plain, **options}).ids == expected.ids


def test_huge_numbers_are_only_huge(llm):
    plain = one(llm, temperature=1.0, seed=1, top_p=1)
    assert one(llm, temperature=1.0, seed=1, top_p=1, top_k=10**30).ids == plain.ids
    assert one(llm, temperature=1.0, seed=1, top_p=1, top_k=1e300).ids == plain.ids
    assert len(one(llm, seed=10**40).ids) == 6
    assert one(llm, max_tokens=10**30, stop=" time").finish_reason == "stop"


def test_what_a_setting_holds_is_plain():
    settings = Sampling(temperature=np.float32(0.5), top_k=np.int64(3), top_p=1)
    assert [type(value) for value in (settings.temperature, settings.top_k, settings.top_p)] == [float, int, float]


@pytest.mark.parametrize("prompt", [b"Once", None, 5, ["Once"], [1, 2]], ids=repr)
def test_prompts_of_another_kind(llm, prompt):
    with pytest.raises(TypeError, match="a prompt must be a text, got"):
        llm.generate(prompt)
    with pytest.raises(TypeError, match="a prompt must be a text, got"):
        llm.generate_batch([prompt])


@pytest.mark.parametrize("prompts", ["Once", b"Once", None, 5, {"Once": 1}], ids=repr)
def test_a_batch_is_a_list_of_texts(llm, prompts):
    """A text alone would be a batch of its letters."""
    with pytest.raises(TypeError, match="a batch must be a list of texts, got"):
        llm.generate_batch(prompts)


def test_a_batch_to_the_end_of_the_context(llm):
    start = "Once upon a time " * 90
    room = llm.config.max_seq_len - len(llm.encode_prompt(start))
    (row,) = llm.generate_batch([start], max_tokens=None, temperature=0)
    alone = llm.generate(start, max_tokens=None, temperature=0)
    assert (row.ids, row.finish_reason) == (alone.ids, alone.finish_reason)
    assert 0 < len(row.ids) <= room + 1
    assert llm.generate_batch(iter([start]), max_tokens=2.0, temperature=0)[0].ids == row.ids[:2]
    sampled = [llm.generate_batch(["Once"] * 4, max_tokens=20, temperature=2, seed=None) for _ in range(2)]
    assert [row.ids for row in sampled[0]] != [row.ids for row in sampled[1]]


def test_an_unknown_option_is_named(llm):
    with pytest.raises(TypeError, match="unknown option stopp; sampling takes temperature, top_k"):
        one(llm, stopp="x")


def test_the_length_of_a_session(llm):
    assert llm.session(10.0).max_seq_len == 10
    for wrong, error in ((0, ValueError), (1.5, ValueError), ("a", TypeError)):
        with pytest.raises(error, match="max_seq_len must be a whole number, 1 or more, got"):
            llm.session(wrong)


def test_a_session_of_another_model_is_refused(llm):
    other = minillama.load("stories3M").session()
    for way in (one, lambda llm, **options: llm.logprobs("a b", " c", **options)):
        with pytest.raises(ValueError, match="the session belongs to another model than stories3M"):
            way(llm, session=other)
        with pytest.raises(TypeError, match="session must be one that session\\(\\) made, got 'x' \\(str\\)"):
            way(llm, session="x")
    assert other.position == 0


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {}, "greedy", 0], ids=repr)
def test_settings_of_another_kind(llm, sampling):
    for way in (one, lambda llm, **options: llm.generate_batch(["Once"], **options)):
        with pytest.raises(TypeError, match="sampling must be a Sampling, got"):
            way(llm, sampling=sampling)


def test_a_table_of_functions_by_name_is_refused():
    with pytest.raises(TypeError, match="ops must be FAST, REFERENCE or what replace_layer gives, got 'fast'"):
        minillama.load("stories3M", ops="fast")


@pytest.mark.parametrize("position", [1.0, "1", None])
def test_a_place_to_go_back_to_of_another_kind_changes_nothing(llm, position):
    session = llm.session()
    session.feed([1, 2, 3])
    with pytest.raises(TypeError):
        session.rewind(position)
    assert (session.position, session.cache.lengths.tolist()) == (3, [3])
    assert np.array_equal(session.step(4), llm.logits([1, 2, 3, 4])[-1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda session: pickle.loads(pickle.dumps(session))])
def test_a_copy_of_a_session_goes_its_own_way(llm, copied):
    session = llm.session()
    session.feed([1, 2, 3])
    with session.held:
        other = copied(session)
    assert np.array_equal(other.step(5), session.step(5))
    other.step(6)
    assert (session.position, other.position) == (4, 5)
