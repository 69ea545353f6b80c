"""Which shots stand before a question, how turns become prompts, and what is said about bad documents."""

import random
from dataclasses import replace

import pytest

from minillama.evaluation.common.requests import Generation, Likelihood, LogLikelihood, Written
from minillama.evaluation.common.task import Asking
from minillama.evaluation.tasks.catalogue import GROUPS, TASKS, find_tasks, task_names
from minillama.evaluation.tasks.fields import MalformedDocument
from minillama.evaluation.tasks.items import items_of, scored

PIQA = TASKS["piqa"]
NQ = TASKS["nq_open"]


def goals(n, prefix="g"):
    return [{"goal": f"{prefix}{i}", "sol1": f"left {i}", "sol2": f"right {i}", "label": i % 2} for i in range(n)]


def questions(n):
    return [{"question": f"q{i}", "answer": [f"a{i}", "other"]} for i in range(n)]


def rendered(messages):
    return "".join(f"[{message['role']}: {message['content']}]" for message in messages) + "[assistant: "


def shown_goals(item):
    return [part.partition("\n")[0].removeprefix("Question: ") for part in item.requests[0].context.split("\n\n")]


def test_drawn_shots_follow_one_generator_from_document_to_document():
    pool, tested = goals(30, "p"), goals(5)
    generator = random.Random(1234)
    expected = [[shot["goal"] for shot in generator.sample(pool, 4)[:3]] for _ in tested]
    items = items_of(PIQA, tested, pool, Asking(n_shots=3))
    assert [shown_goals(item)[:-1] for item in items] == expected
    assert expected[0] != expected[1]


def test_a_limit_cuts_the_end_and_changes_nothing_before():
    pool, tested = goals(30, "p"), goals(9)
    whole = items_of(PIQA, tested, pool, Asking(n_shots=3))
    assert items_of(PIQA, tested, pool, Asking(n_shots=3, limit=4)) == whole[:4]


def test_another_seed_shows_other_shots():
    pool, tested = goals(30, "p"), goals(3)
    assert items_of(PIQA, tested, pool, Asking(n_shots=3)) == items_of(PIQA, tested, pool, Asking(n_shots=3, seed=1234))
    assert items_of(PIQA, tested, pool, Asking(n_shots=3)) != items_of(PIQA, tested, pool, Asking(n_shots=3, seed=1))


def test_a_document_is_never_its_own_shot_even_when_it_is_there_twice():
    pool = [*goals(2), *goals(2), *goals(2)]
    for item in items_of(PIQA, pool, pool, Asking(n_shots=2)):
        assert shown_goals(item)[-1] not in shown_goals(item)[:-1]


def test_a_split_of_nothing_but_the_document_is_said():
    with pytest.raises(ValueError, match=r"piqa with 2 shots needs 2 documents to take them from, and .* has 0"):
        items_of(PIQA, goals(1), goals(1) * 3, Asking(n_shots=2))


def test_without_one_more_no_document_is_dropped():
    exact = replace(PIQA, shots=replace(PIQA.shots, draws_one_more=False))
    assert items_of(exact, goals(1), goals(3, "p"), Asking(n_shots=3))
    with pytest.raises(
        ValueError, match=r"piqa with 3 shots needs 4 documents to take them from, and its split 'train' of piqa has 3"
    ):
        items_of(PIQA, goals(1), goals(3, "p"), Asking(n_shots=3))


def test_shots_that_are_given():
    cot, document = TASKS["gsm8k_cot"], {"question": "How many?", "answer": "1 + 1 = 2\n#### 2"}
    (item,) = items_of(cot, [document], [], Asking())
    assert item.requests[0].context.count("The answer is") == 8
    assert item.target == "2"
    (item,) = items_of(cot, [document], [], Asking(n_shots=2))
    assert item.requests[0].context.count("The answer is") == 2
    with pytest.raises(ValueError, match="with 9 shots needs 9 documents to take them from, and its task has 8"):
        items_of(cot, [document], [], Asking(n_shots=9))


def test_truthfulqa_has_its_six_pairs_whatever_is_asked_for():
    answers = {"choices": ["true", "false"], "labels": [1, 0]}
    document = {"question": "Q", "mc1_targets": answers, "mc2_targets": answers}
    pool = [document | {"question": "other"}] * 9
    for name in ("truthfulqa_mc1", "truthfulqa_mc2"):
        contexts = {
            items_of(TASKS[name], [document], pool, Asking(n_shots=n))[0].requests[0].context for n in (None, 0, 5)
        }
        assert len(contexts) == 1
        assert contexts.pop().count("Q: ") == 7


def test_a_shot_without_an_answer_has_no_answer_s_turn():
    """A sentence that ends with its blank: the harness then puts no delimiter behind it either."""
    pool = [{"sentence": "It was _", "option1": "x", "option2": "y", "answer": "1"}] * 3
    document = {"sentence": "So _ won.", "option1": "x", "option2": "y", "answer": "2"}
    (item,) = items_of(TASKS["winogrande"], [document], pool, Asking(n_shots=2))
    assert [request.context for request in item.requests] == ["It was xIt was xSo x", "It was xIt was xSo y"]
    assert item.requests[0].continuation == " won."
    assert item.target == "won."


def test_chat_has_shots_as_turns_and_choices_without_a_delimiter():
    (item,) = items_of(PIQA, goals(1), goals(9, "p"), Asking(n_shots=1, chat=True, system="Be brief."), rendered)
    first, second = item.requests
    assert first.context.startswith("[system: Be brief.][user: Question: p")
    assert first.context.endswith("[user: Question: g0\nAnswer:][assistant: ")
    assert (first.continuation, second.continuation) == ("left 0", "right 0")
    assert first.is_chat
    with pytest.raises(ValueError, match="needs the model's chat template"):
        items_of(PIQA, goals(1), [], Asking(chat=True))


def test_the_description_goes_to_the_system_s_turn():
    (item,) = items_of(NQ, questions(1), [], Asking(chat=True, system="Be brief."), rendered)
    assert item.requests[0].context == "[system: Be brief.\nAnswer these questions:\n\n][user: Q: q0?\nA:][assistant: "
    (item,) = items_of(NQ, questions(1), [], Asking(system="Be brief. "))
    assert item.requests[0].context == "Be brief. Answer these questions:\n\nQ: q0?\nA:"


def test_llama_s_questions():
    """Figure 3 of arXiv:2302.13971."""
    task = replace(TASKS["nq_open@llama2"], shots=replace(TASKS["nq_open@llama2"].shots, default=1))
    (item,) = items_of(task, questions(1), questions(1), Asking())
    assert item.requests == (Generation("Answer these questions:\nQ: q0?\nA: a0\nQ: q0?\nA:", ("\n",)),)
    assert scored(task, item, [Written(" The a0.")]).metrics == {"exact_match,first_line": 1.0}
    assert TASKS["triviaqa@llama2"].prompt({"question": "Who?"}) == "Q: Who?\nA:"


def test_llama_s_normalisation_by_what_an_answer_is_worth_alone():
    document = {"question_stem": "S", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
    task = TASKS["openbookqa@llama2"]
    (item,) = items_of(task, [document], [], Asking())
    assert item.requests[2:] == (LogLikelihood("Answer:", " x"), LogLikelihood("Answer:", " y"))
    answers = [Likelihood(logprob, False, 1) for logprob in (-1.0, -2.0, -1.0, -9.0)]
    assert scored(task, item, answers).metrics == {"acc_mutual_info,none": 1.0, "acc,none": 0.0, "acc_norm,none": 0.0}


def test_a_chat_keeps_the_prior_s_space():
    document = {"question_stem": "S", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
    (item,) = items_of(TASKS["openbookqa@llama2"], [document], [], Asking(chat=True), rendered)
    assert item.requests[2] == LogLikelihood("Answer:", " x")
    (item,) = items_of(TASKS["openbookqa_mi"], [document], [], Asking(chat=True), rendered)
    assert item.requests[2] == LogLikelihood("", "x")


def test_saved_answers_are_scored_anew():
    (item,) = items_of(PIQA, goals(1), [], Asking())
    answers = [Likelihood(-1.0, False, 3), Likelihood(-2.0, False, 3)]
    first = scored(PIQA, item, answers)
    assert scored(PIQA, item, first.answers) == first
    assert first.metrics == {"acc,none": 1.0, "acc_norm,none": 1.0, "acc_bytes,none": 1.0}
    with pytest.raises(ValueError, match="2 requests were made and 1 answers came"):
        scored(PIQA, item, answers[:1])


def test_an_answer_with_a_problem_leaves_no_metrics():
    (item,) = items_of(PIQA, goals(1), [], Asking())
    answers = [Likelihood(-1.0, False, 3), Likelihood(float("-inf"), False, 0, problem="no token is left")]
    result = scored(PIQA, item, answers)
    assert result.metrics == {}
    assert result.problem == "no token is left"


LABELLED = {"question": "Q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}
SUBJECT = {"question": "Q", "choices": ["w", "x", "y", "z"], "answer": 3}
SENTENCE = {"sentence": "So _ won.", "option1": "x", "option2": "y", "answer": "1"}
SCENE = {"activity_label": "A", "ctx_a": "a", "ctx_b": "b", "endings": ["x", "y", "z", "w"], "label": "3"}
TRUTHS = {"choices": ["x", "y"], "labels": [1, 0]}
MALFORMED = [
    ("piqa", goals(1)[0] | {"label": 2}, "label must be a number from 0 to 1 and is 2"),
    ("piqa", goals(1)[0] | {"label": -1}, "label must be a number from 0 to 1 and is -1"),
    ("piqa", goals(1)[0] | {"label": True}, "label must be a number from 0 to 1 and is True"),
    ("piqa", goals(1)[0] | {"label": "1e0"}, "label must be a number from 0 to 1 and is '1e0'"),
    ("piqa", goals(1)[0] | {"label": ""}, "label must be a number from 0 to 1 and is empty"),
    ("piqa", {"goal": "g", "label": 0}, "it needs the field sol1, and has goal, label"),
    ("piqa", goals(1)[0] | {"goal": None}, "goal must be text and is None"),
    ("arc_easy", LABELLED | {"answerKey": "C"}, "answerKey must be one of A, B and is 'C'"),
    (
        "arc_easy",
        LABELLED | {"choices": {"text": ["x"], "label": ["A"]}},
        "must be a list of 2 or more texts and is a list",
    ),
    ("arc_easy", LABELLED | {"choices": ["x", "y"]}, "it needs the field choices.text, and has a list of 2"),
    (
        "arc_easy",
        LABELLED | {"choices": {"text": ["x", "y"], "label": ["A"]}},
        "choices.label must be a list of 2 or more",
    ),
    ("openbookqa", {"question_stem": "S"}, "it needs the field choices, and has question_stem"),
    ("mmlu_anatomy", SUBJECT | {"answer": 4}, "answer must be a number from 0 to 3 and is 4"),
    ("mmlu_anatomy", SUBJECT | {"choices": ["x"] * 5}, "choices must be four texts and are 5"),
    (
        "mmlu_anatomy_continuation",
        SUBJECT | {"choices": "wxyz"},
        "choices must be a list of 4 or more texts and is 'wxyz'",
    ),
    ("winogrande", SENTENCE | {"sentence": "None."}, "sentence must hold the blank '_' and is 'None.'"),
    ("winogrande", SENTENCE | {"answer": ""}, "answer must be one of 1, 2 and is empty"),
    ("hellaswag", SCENE | {"label": "4"}, "label must be a number from 0 to 3 and is '4'"),
    ("boolq", {"passage": "P", "question": "q", "label": "yes"}, "label must be a number from 0 to 1 and is 'yes'"),
    ("nq_open", {"question": "q", "answer": []}, "answer must be a list of 1 or more texts and is a list of 0"),
    ("nq_open", {"question": "q", "answer": "a"}, "answer must be a list of 1 or more texts and is 'a'"),
    ("triviaqa", {"question": "q", "answer": {"value": "a"}}, "it needs the field answer.aliases, and has value"),
    ("gsm8k", {"question": "q"}, "it needs the field answer, and has question"),
    (
        "truthfulqa_mc1",
        {"question": "q", "mc1_targets": TRUTHS | {"labels": [0, 1]}},
        "the first of mc1_targets must be",
    ),
    ("truthfulqa_mc2", {"question": "q", "mc2_targets": TRUTHS | {"labels": [0, 2]}}, "labels must be 2 times 0 or 1"),
    (
        "truthfulqa_mc2",
        {"question": "q", "mc2_targets": TRUTHS | {"labels": [0, 0]}},
        "one of mc2_targets.labels must be 1",
    ),
    ("wikitext", {"text": "x"}, "it needs the field page, and has text"),
]


@pytest.mark.parametrize(("name", "document", "message"), MALFORMED)
def test_malformed_documents_are_one_sentence(name, document, message):
    with pytest.raises(MalformedDocument) as raised:
        items_of(TASKS[name], [document], [], Asking(n_shots=0))
    said = str(raised.value)
    assert message in said
    assert said.startswith(f"{name}: document 0 (from 0) of split '{TASKS[name].split}' cannot be used: ")
    assert "\n" not in said
    assert (raised.value.split, raised.value.number) == (TASKS[name].split, 0)


def test_which_document_of_several_is_malformed():
    documents = [SCENE, SCENE, SCENE | {"endings": "x"}]
    with pytest.raises(MalformedDocument, match=r"document 2 \(from 0\) of split 'validation'"):
        items_of(TASKS["hellaswag"], documents, [], Asking())


def test_a_value_of_any_length_is_shown_in_short():
    with pytest.raises(MalformedDocument) as raised:
        items_of(PIQA, [goals(1)[0] | {"label": "9" * 10**6}], [], Asking())
    assert len(str(raised.value)) < 300


def test_labels_as_text_are_numbers_too():
    """CSV has no other; what else is about the document stays as it is."""
    (item,) = items_of(PIQA, [goals(1)[0] | {"label": "1"}], [], Asking())
    assert item.target == 1


@pytest.mark.parametrize(
    ("asking", "message"), [(Asking(limit=0), "limit must be 1"), (Asking(n_shots=-1), "0 or more")]
)
def test_settings_out_of_range(asking, message):
    with pytest.raises(ValueError, match=message):
        items_of(PIQA, goals(1), goals(3), asking)


def test_every_name_is_found_and_says_what_it_is():
    assert [task.name for task in find_tasks(task_names())] == task_names()
    for task in TASKS.values():
        assert all((task.about, task.version, task.metrics, task.dataset.licence))
        assert all(task.name in GROUPS[group].tasks for group in task.groups)
        assert ("@llama2" in task.name) == (task.protocol == "llama2")
    for group in GROUPS.values():
        assert group.about
        for member in group.members:
            assert member.task is None or member.metric in {metric.key for metric in TASKS[member.task].metrics}


def test_groups_expand_and_nothing_comes_twice():
    names = [task.name for task in find_tasks(["mmlu_stem", "mmlu_anatomy", "mmlu", "piqa"])]
    assert len(names) == len(set(names)) == 58
    assert names[0] == "mmlu_abstract_algebra"
    assert len(find_tasks(["mmlu@llama2"])) == 57
    assert all(task.shots.default == 5 for task in find_tasks(["mmlu@llama2"]))


def test_an_unknown_name_is_answered_with_known_ones():
    with pytest.raises(ValueError, match=r"no task or group 'arc_esay': did you mean arc_easy"):
        find_tasks(["arc_esay"])


def test_a_paper_s_column_says_what_it_lacks():
    commonsense = GROUPS["commonsense"]
    assert commonsense.missing == ["SIQA", "CommonsenseQA"]
    assert [task.name for task in find_tasks(["commonsense"])] == [
        member.task for member in commonsense.members if member.task
    ]
