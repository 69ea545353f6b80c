"""Requests as tokens: the harness's rules, one by one, and its own code where there is no vector."""

import pytest
from evaluation.engine.vectors import edge_request, rows_of
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from minillama.evaluation.common.requests import Generation, LogLikelihood, Rolling
from minillama.evaluation.engine.encoding import Encoder, Stops, Unanswerable


@pytest.fixture
def encoder(stories):
    return Encoder(stories.tokenizer, 512, stories.config.vocab_size)


def test_context_and_continuation_of_the_vectors(vectors_folder, smollm2):
    encoder = Encoder(smollm2.tokenizer, 8192, smollm2.config.vocab_size)
    seen = 0
    for row in rows_of(vectors_folder, "edges"):
        if row["kind"] != "loglikelihood" or "error" in row or "context_ids" not in row or row["max_length"] != 8192:
            continue
        pair = encoder.pair(edge_request(row))
        assert (len(pair.context), list(pair.continuation)) == (row["n_context"], row["continuation_ids"])
        assert list(pair.context[: row["n_context"]][-8:]) == row["context_ids"][-8:]
        seen += 1
    assert seen > 15


@pytest.mark.parametrize("n_tokens", [1, 2, 15, 16, 17, 31, 32, 33, 50])
@pytest.mark.parametrize("max_length", [1, 2, 16, 512])
def test_windows_are_those_of_the_harness(stories, n_tokens, max_length):
    encoder = Encoder(stories.tokenizer, max_length, stories.config.vocab_size)
    text = stories.tokenizer.decode(list(range(300, 300 + n_tokens)))
    ids = list(encoder.encode(text))
    expected = get_rolling_token_windows(ids, encoder.start_id, max_length, context_len=1)
    expected = [make_disjoint_window(window) for window in expected]
    assert [(list(pair.context), list(pair.continuation)) for pair in encoder.windows(Rolling(text))] == expected


def test_white_space_goes_to_the_continuation(encoder):
    assert encoder.pair(LogLikelihood("One day ", "Tom")) == encoder.pair(LogLikelihood("One day", " Tom"))


def test_bos_once_and_only_where_the_model_expects_it(encoder, smollm2):
    bos, text = encoder.tokenizer.bos_id, "Tom saw"
    spelled = encoder.tokenizer.token_text(bos)
    assert encoder.pair(LogLikelihood(text, " it")).context[:2].count(bos) == 1
    assert encoder.pair(LogLikelihood(f"{spelled}{text}", " it", is_chat=True)).context.count(bos) == 1
    without = Encoder(smollm2.tokenizer, 8192, smollm2.config.vocab_size)
    assert smollm2.tokenizer.bos_id not in without.pair(LogLikelihood(text, " it")).context


def test_no_context_is_bos_or_what_the_continuation_begins_with(encoder):
    bos = encoder.tokenizer.bos_id
    pair = encoder.pair(LogLikelihood("", "Tom"))
    assert pair.context == (bos,)
    assert bos not in pair.continuation
    spelled = encoder.tokenizer.token_text(bos)
    assert encoder.pair(LogLikelihood("", f"{spelled}Tom")).context == (bos,)


def test_a_context_is_cut_from_the_left(stories):
    whole = Encoder(stories.tokenizer, 512, 2048).pair(LogLikelihood("Tom and Sam went to the park", " to play"))
    n = len(whole.continuation)
    cut = Encoder(stories.tokenizer, n + 2, 2048).pair(LogLikelihood("Tom and Sam went to the park", " to play"))
    assert (cut.context, cut.continuation, cut.truncated) == (whole.context[-3:], whole.continuation, True)
    assert len(cut.inputs) == n + 2
    assert not whole.truncated


def test_a_prompt_leaves_room_for_its_answer(stories):
    encoder = Encoder(stories.tokenizer, 20, 2048)
    prompt = encoder.prompt(Generation("Tom and Sam went to the park. " * 3, max_tokens=16))
    assert len(prompt.ids) == 4
    assert prompt.truncated
    for request, said in (
        (Generation("Tom", max_tokens=20), "no room"),
        (Generation("Tom", max_tokens=0), "at least 1"),
    ):
        with pytest.raises(Unanswerable, match=said):
            encoder.prompt(request)


def test_a_token_that_the_model_has_no_row_for(stories):
    encoder = Encoder(stories.tokenizer, 512, 300)
    with pytest.raises(Unanswerable, match="no row"):
        encoder.pair(LogLikelihood("Tom", " went home"))


def test_stop_texts_are_found_in_the_last_tokens_and_inside_them(smollm2):
    tokenizer = smollm2.tokenizer
    stops = Stops(tokenizer, ("ris", "\n"), frozenset({2}))
    paris = tokenizer.encode(" Paris")
    assert stops.are_met(paris)
    assert stops.text(paris) == " Pa"
    assert not stops.are_met(tokenizer.encode(" London"))
    assert stops.are_met([2])
    assert not stops.are_met([0])  # <|endoftext|> ends nothing where it is not EOS
    assert stops.text([*tokenizer.encode(" it"), 2]) == " it"


def test_a_context_of_white_space_is_the_same_first_and_later(stories):
    """Contexts are remembered: that of a new encoder is none, and not the empty text, which BOS belongs to."""
    blank = LogLikelihood(" \n", "Tom")
    first = Encoder(stories.tokenizer, 512, stories.config.vocab_size).pair(blank)
    later = Encoder(stories.tokenizer, 512, stories.config.vocab_size)
    later.pair(LogLikelihood("One day", " Tom"))
    assert first == later.pair(blank)
    assert first.context == (stories.tokenizer.bos_id,)
