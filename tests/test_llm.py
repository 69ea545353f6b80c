"""The Python interface: text in, text out."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minillama
from minillama.files.errors import CheckpointError
from minillama.inference.session import Session
from minillama.inference.text import StopStrings
from minillama.llm import LLM
from minillama.ops import FAST, REFERENCE


@pytest.fixture
def llm(stories260k):
    return stories260k


def feed_all(stop, pieces):
    filter_ = StopStrings(stop)
    shown = []
    for piece in pieces:
        shown.append(filter_.feed(piece))
        if filter_.found:
            return shown, True
    return [*shown, filter_.flush()], False


@pytest.mark.parametrize(
    ("stop", "pieces", "shown", "found"),
    [
        (["END"], ["a", "EN", "D b"], ["a", "", ""], True),
        (["END"], ["a E", "N", "o"], ["a ", "", "ENo", ""], False),
        (["END"], ["xEND", "y"], ["x"], True),
        (["ab", "b"], ["xa", "b"], ["x", ""], True),
        (["aab"], ["aaab"], ["a"], True),
        (["\n\n"], ["one\n", "two\n", "\n"], ["one", "\ntwo", ""], True),
        ([], ["x", "y"], ["x", "y", ""], False),
        (["ABC"], ["AB"], ["", "AB"], False),
    ],
)
def test_stop_strings_do_not_leak(stop, pieces, shown, found):
    assert feed_all(stop, pieces) == (shown, found)


def test_stop_string_split_over_tokens(llm):
    """Wherever the tokens divide it, nothing of it is shown."""
    whole = llm.generate("", max_tokens=60, temperature=0).text
    for stop in ("little girl", "loved to", ". She", "park. One"):
        stream = llm.stream("", max_tokens=60, temperature=0, stop=[stop, "never there"])
        pieces = list(stream)
        assert "".join(pieces) == stream.result.text == whole[: whole.index(stop)]
        assert stream.result.finish_reason == "stop"
    with pytest.raises(ValueError, match="a stop string must not be empty"):
        llm.generate("", stop=[""])


def test_pieces_make_the_text(llm):
    stream = llm.stream("Once upon", max_tokens=30, seed=3)
    assert "".join(stream) == stream.result.text == llm.generate("Once upon", max_tokens=30, seed=3).text
    assert len(stream.result.ids) == len(stream.result.logprobs) == 30


def test_continuation_keeps_its_space(llm):
    """ "Once upon" continues with " a", not "a"."""
    assert llm.generate("Once upon", max_tokens=8, temperature=0).text.startswith(" a time")


def test_exactly_one_bos(llm):
    assert llm.encode_prompt("")[:2] == [1]
    ids = llm.encode_prompt("Once")
    assert ids[0] == 1
    assert 1 not in ids[1:]
    assert 1 not in llm.encode_prompt("<s> Once")[1:]


def test_a_seed_repeats_and_its_absence_does_not(llm):
    run = lambda seed: llm.generate("", max_tokens=30, temperature=1.5, top_p=1, seed=seed).text
    assert run(1) == run(1) != run(2)
    assert run(None) != run(None)


def test_logits_of_all_positions(llm):
    ids = llm.encode_prompt("Once upon a time")
    logits = llm.logits(ids)
    assert logits.shape == (len(ids), 512)
    session = llm.session()
    for i, id_ in enumerate(ids):
        np.testing.assert_allclose(session.step(id_), logits[i], atol=1e-3)


def test_logprobs_of_text_and_ids(llm):
    context, continuation = "Once upon a", " time"
    both = llm.tokenizer.encode(context + continuation)
    before = llm.tokenizer.encode(context)
    expected = llm.logprobs(before, both[len(before) :])
    np.testing.assert_array_equal(llm.logprobs(context, continuation), expected)
    np.testing.assert_array_equal(llm.logprobs(context + " ", "time"), expected)
    assert llm.logprobs(context, " time").sum() > llm.logprobs(context, " ball").sum()
    assert llm.logprobs("", "Once").size == len(llm.tokenizer.encode("Once")) - 1
    for wrong in (("a", [1]), ([1], "a"), (b"a", b"b"), (None, [1])):
        with pytest.raises(ValueError, match="both as text or both as ids"):
            llm.logprobs(*wrong)


def test_logprobs_at_a_temperature(llm):
    """Of what was sampled without filters they are those that it was drawn with, but for the rounding of keys."""
    answer = llm.generate("Once", max_tokens=12, temperature=1.5, top_p=1, seed=1)
    prompt = llm.encode_prompt("Once")
    np.testing.assert_allclose(llm.logprobs(prompt, answer.ids, temperature=1.5), answer.sampled_logprobs, atol=1e-3)
    np.testing.assert_allclose(llm.logprobs(prompt, answer.ids), answer.logprobs, atol=1e-3)
    assert len(answer.sampled_logprobs) == 12


def lm_eval_ids(tokenizer, context, continuation):
    """How lm-evaluation-harness divides the tokens of two texts (`_encode_pair` of its API)."""
    n_spaces = len(context) - len(context.rstrip())
    if n_spaces > 0:
        context, continuation = context[:-n_spaces], context[-n_spaces:] + continuation
    whole, before = tokenizer.encode(context + continuation), tokenizer.encode(context)
    return before, whole[len(before) :]


def test_logprobs_where_the_border_is_inside_a_word(llm):
    """As the harness has it, and an error where that leaves the continuation without any token: 0.0 is no score."""
    context, n_merged, n_scored = "Once upon a time there was a lit", 0, 0
    for cut in range(1, len(context)):
        for continuation in (context[cut:] + "tle girl", "s"):
            before, after = lm_eval_ids(llm.tokenizer, context[:cut], continuation)
            if after:
                np.testing.assert_array_equal(llm.logprobs(context[:cut], continuation), llm.logprobs(before, after))
                n_scored += 1
            else:
                with pytest.raises(ValueError, match="has no token of its own after this context: both together have"):
                    llm.logprobs(context[:cut], continuation)
                n_merged += 1
    assert n_merged > 0
    assert n_scored > 50


@pytest.mark.parametrize("context", ["Once", "Once ", "", [1, 2]], ids=repr)
def test_an_empty_continuation_has_no_score(llm, context):
    with pytest.raises(ValueError, match="the continuation is empty"):
        llm.logprobs(context, "" if isinstance(context, str) else [])


def test_batch_equals_alone(llm):
    prompts = ["", "Once upon a time there was a dog", "The big red"]
    for b, row in enumerate(llm.generate_batch(prompts, max_tokens=25, seed=9)):
        alone = llm.generate(prompts[b], max_tokens=25, seed=9 + b)
        assert (row.ids, row.text, row.finish_reason) == (alone.ids, alone.text, alone.finish_reason)
        np.testing.assert_allclose(row.sampled_logprobs, alone.sampled_logprobs, atol=1e-4)


@pytest.mark.parametrize("ways", ["stream", "generate", "batch", "chat"])
def test_the_token_that_ends_the_text_can_be_kept(llm, ways):
    """In ids and log-probabilities; the text does not show it."""
    free, options = llm.generate("Once", max_tokens=40, temperature=0), {"max_tokens": 60, "temperature": 0}
    llm = LLM(llm.params, llm.config, llm.tokenizer, stop_ids=[free.ids[25], free.ids[30]])
    tell = {
        "stream": lambda **more: llm.stream("Once", **options, **more).run(),
        "generate": lambda **more: llm.generate("Once", **options, **more),
        "batch": lambda **more: llm.generate_batch(["Once"], **options, **more)[0],
        "chat": lambda **more: llm.chat([{"role": "user", "content": "Once"}], template="llama-2", **options, **more),
    }[ways]
    without, kept = tell(), tell(keep_stop=True)
    assert without.finish_reason == kept.finish_reason == "stop"
    assert (kept.text, kept.ids[:-1], kept.logprobs[:-1]) == (without.text, without.ids, without.logprobs)
    assert kept.ids[-1] in llm.stop_ids
    assert llm.stop_ids.isdisjoint(without.ids)
    assert len(kept.ids) == len(kept.logprobs) == len(kept.sampled_logprobs)
    assert len(without.ids) == len(without.logprobs) == len(without.sampled_logprobs)


def test_threads_with_sessions_of_their_own(llm):
    prompts = ["Once upon a time", "The dog", "A big red", ""]
    tell = lambda prompt: llm.generate(prompt, max_tokens=30, temperature=0, session=llm.session()).text
    alone = [tell(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tell, prompts * 3)) == alone * 3


def test_threads_on_one_session_get_an_answer_or_an_error(llm):
    """Never words of both."""
    prompts, session = ["Once upon a time", "The dog", "A big red"], llm.session()
    tell = lambda prompt, **more: llm.generate(prompt, max_tokens=30, temperature=0, **more).text
    alone = [tell(prompt) for prompt in prompts]

    def tell_together(prompt):
        try:
            return tell(prompt, session=session)
        except minillama.SessionInUseError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(tell_together, prompts * 5))
    assert {text for text in found if not text.startswith("the session is in use")} <= set(alone)
    assert tell(prompts[0], session=session) == alone[0]


def test_two_answers_in_turns_on_one_session(llm):
    session = llm.session()
    first = llm.stream("Once upon a time", temperature=0, session=session)
    pieces = iter(first)
    next(pieces)
    second = llm.stream("The dog", max_tokens=10, temperature=0, session=session)
    with pytest.raises(minillama.SessionInUseError):
        next(pieces)
    assert second.run().text == llm.generate("The dog", max_tokens=10, temperature=0).text


def test_a_session_can_be_driven_by_hand(llm):
    session = llm.session()
    assert isinstance(session, Session)
    session.feed(llm.encode_prompt(""))
    ids = []
    while len(ids) < 20:
        ids.append(int(session.logits.argmax()))
        session.step(ids[-1])
    assert llm.tokenizer.decode(ids) == llm.generate("", max_tokens=20, temperature=0).text
    assert session.position == 21


def test_a_replaced_function_runs_the_model(llm, shared_data):
    """The learner's own function: it is called, and the story is the same."""
    calls = []

    def my_rmsnorm(x, weight, eps):
        calls.append(x.shape)
        return weight * x / np.sqrt(np.mean(x**2, -1, keepdims=True) + eps), None

    mine = LLM(llm.params, llm.config, llm.tokenizer, ops=FAST._replace(rmsnorm_forward=my_rmsnorm))
    assert mine.generate("", max_tokens=40, temperature=0).text == llm.generate("", max_tokens=40, temperature=0).text
    assert calls


def test_reference_ops_tell_the_same_story(llm):
    slow = LLM(llm.params, llm.config, llm.tokenizer, ops=REFERENCE)
    assert slow.generate("", max_tokens=40, temperature=0).text == llm.generate("", max_tokens=40, temperature=0).text


def test_errors_say_what_to_do(llm, shared_data, tmp_path):
    path = shared_data / "stories260K" / "stories260K.bin"
    bare = minillama.load(path)
    with pytest.raises(ValueError, match="carries no tokenizer: pass tokenizer=FILE"):
        bare.generate("Once")
    of_another = minillama.load(path, tokenizer=shared_data / "llama2_tokenizer" / "tokenizer.model")
    with pytest.raises(
        ValueError, match=r"the token '▁Once' \(id 9038\).* the tokenizer has 32000 tokens, the model 512"
    ):
        of_another.generate("Once")
    with pytest.raises(ValueError, match="choose one with --template"):
        llm.chat([{"role": "user", "content": "Hi"}])
    with pytest.raises(TypeError, match="sampling takes temperature"):
        llm.generate("Once", temprature=1)
    with pytest.raises(ValueError, match="threads must be between 1 and"):
        minillama.load(path, threads=0)
    with pytest.raises(ValueError, match="smollm2-135m-instruct"):
        minillama.load("smollm2-135-instruct")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds no model: expected minillama\.json"):
        minillama.load(tmp_path / "empty")


def test_the_end_of_the_context(llm):
    result = llm.generate("", max_tokens=None, temperature=0, session=llm.session(max_seq_len=20))
    assert (len(result.ids), result.finish_reason) == (20, "context")
    with pytest.raises(minillama.ContextFullError, match="the context holds 20 tokens"):
        llm.generate("Once upon a time " * 20, session=llm.session(max_seq_len=20))


def test_a_story_ends_where_the_next_begins(llm):
    """The TinyStories models end with BOS, as llama2.c stops there."""
    result = llm.generate("Lily", max_tokens=None, temperature=0)
    assert result.finish_reason == "stop"
    assert len(result.ids) < 400
    assert result.text.count("Once upon a time") == 0
