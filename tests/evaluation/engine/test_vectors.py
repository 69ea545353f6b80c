"""Answers of lm-evaluation-harness with transformers in float32, item by item: prints the largest difference."""

import pytest
from evaluation.engine.vectors import edge_request, names_of, requests_of, rows_of

from minillama.evaluation.common.requests import LogLikelihood, Rolling
from minillama.evaluation.engine.engine import Engine

# Of a log-likelihood of choices; and of a rolling one, for each unit of it.
EXACT, IN_INTEGERS = (2e-3, 1e-5), (1e-2, 5e-5)
SLOW = {"mmlu_high_school_us_history", "triviaqa_chat_2shot", "gsm8k", "gsm8k_cot", "wikitext_maxlen1024"}
# A greedy choice as close as this may go another way.
MARGIN = 0.02


def check(row_request_answers, tolerance):
    """Assert equality; returns the largest difference of a choice's log-likelihood."""
    largest = 0.0
    for expected, request, answer in row_request_answers:
        assert answer.problem is None
        if isinstance(expected, dict):
            check_written(answer, expected)
            continue
        difference = abs(answer.logprob - expected)
        if isinstance(request, Rolling):
            assert difference <= tolerance[1] * abs(expected)
        else:
            assert difference <= tolerance[0], f"{request}: {answer.logprob} beside {expected}"
            largest = max(largest, difference)
    return largest


def check_written(answer, row):
    """Equal texts and tokens; nothing is known after a choice that is too close."""
    if row["min_top2_margin"] > MARGIN and answer.smallest_margin > MARGIN:
        assert answer.text == row.get("generated", row.get("text"))
        assert list(answer.ids) == row.get("gen_ids", row.get("ids"))
        assert answer.smallest_margin == pytest.approx(row["min_top2_margin"], abs=0.02)


@pytest.mark.parametrize("model", ["exact_smollm2", "smollm2"])
def test_items(request, vectors_folder, model):
    llm, rows = request.getfixturevalue(model), []
    for name in names_of(vectors_folder):
        if name in SLOW and model == "smollm2":
            continue
        length = 1024 if name == "wikitext_maxlen1024" else None
        asked = [pair for row in rows_of(vectors_folder, name)[:3] for pair in requests_of(row)]
        answers = Engine(llm, max_length=length).ask([one for one, _ in asked])
        rows += [(expected, one, answer) for (one, expected), answer in zip(asked, answers)]
    largest = check(rows, EXACT)
    print(f"{model}: largest difference of a log-likelihood {largest:.1e} over {len(rows)} requests")
    assert len(rows) > 200


def test_letters_in_integers(vectors_folder, smollm2):
    """As the model is loaded, without float32: the rounding of a token or two stays below the tolerance."""
    rows = [pair for row in rows_of(vectors_folder, "mmlu_anatomy_0shot") for pair in requests_of(row)]
    answers = Engine(smollm2, in_float32=False).ask([one for one, _ in rows])
    largest = check([(expected, one, answer) for (one, expected), answer in zip(rows, answers)], IN_INTEGERS)
    print(f"in integers: largest difference of a log-likelihood {largest:.1e}")


@pytest.mark.parametrize("model", ["exact_smollm2", "smollm2"])
def test_edges(request, vectors_folder, model):
    """What the harness scores is scored, and where it dies there is a sentence, never a sum of 0."""
    llm, rows = request.getfixturevalue(model), rows_of(vectors_folder, "edges")
    died = 0
    for length in sorted({row["max_length"] for row in rows}):
        some = [row for row in rows if row["max_length"] == length]
        asked = [edge_request(row) for row in some]
        for row, one, answer in zip(some, asked, Engine(llm, max_length=length).ask(asked)):
            if "error" in row:
                assert answer.problem
                assert getattr(answer, "logprob", float("-inf")) == float("-inf")
                died += 1
            elif row["kind"] == "generate":
                check_written(answer, row)
            else:
                tolerance = 2e-3 if isinstance(one, LogLikelihood) else max(2e-3, 1e-5 * abs(row["ll"]))
                assert abs(answer.logprob - row["ll"]) <= tolerance
                assert answer.is_greedy == row.get("greedy", answer.is_greedy)
                assert answer.n_tokens == row.get("n_tokens", answer.n_tokens)
    assert died == 8
