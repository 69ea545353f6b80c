"""The report: nothing in a text becomes markup, and what it claims stands in the numbers."""

import re
from html.parser import HTMLParser

import pytest
from made_results import MARKUP, gsm8k, made_evaluation, mmlu, task_result

from minillama.evaluation.common.requests import Written
from minillama.evaluation.common.task import Scored
from minillama.evaluation.results.calibration import bins_of, calibration_error, choices_of, most_confident_mistakes
from minillama.evaluation.results.paper import GROUPS, ROWS
from minillama.evaluation.results.report import as_html, as_markdown
from minillama.evaluation.results.task_result import result_of
from minillama.evaluation.tasks.catalogue import GROUPS as KNOWN_GROUPS
from minillama.evaluation.tasks.catalogue import TASKS

VOID = {"meta", "line", "rect", "br"}


class Page(HTMLParser):
    """The text of a page, its tags, and whether they are nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def evil_evaluation():
    """Markup in prompts, answers, options and the model's name."""
    result = task_result("gsm8k_cot", gsm8k(6), n_shots=8)
    items = [
        Scored(one.item, (Written(f"{MARKUP}<img src=x onerror=alert(1)>", (1,), 1.0),), one.metrics)
        for one in result.items
    ]
    written = result_of(TASKS["gsm8k_cot"], items, 6, 8)
    return made_evaluation(**{"gsm8k_cot": written, "arc_easy": made_evaluation()["arc_easy"]})


def test_the_page_is_whole_and_self_contained():
    text = as_html(made_evaluation())
    page = Page(text)
    assert page.open == []
    assert {"script", "link", "img", "iframe"} & set(page.tags) == set()
    assert re.findall(r"(?:src|href)=", text) == []
    assert "http" not in text
    assert page.tags.count("svg") >= 3  # lines of intervals and plots


def test_texts_of_models_and_benchmarks_stay_texts():
    page = Page(as_html(evil_evaluation()))
    assert {"script", "img", "b"} & set(page.tags) == set()
    assert [name for name in page.attributes if name.startswith("on")] == []
    said = "".join(page.text)
    assert MARKUP in said
    assert "<img src=x onerror=alert(1)>" in said
    assert "made <up>" in said


def test_markdown_has_no_markup_of_others():
    text = as_markdown(evil_evaluation())
    outside = re.sub(r"(`+)[^`].*?\1", "", re.sub(r"^(```+)\n.*?^\1$", "", text, flags=re.M | re.S))
    assert "<script>" not in outside
    assert "<img" not in outside
    assert "made &lt;up&gt;" in outside
    widths = [line.replace("\\|", "").count("|") for line in outside.splitlines() if line.startswith("|")]
    assert min(widths) > 2


def test_the_paper_stands_beside_it_where_shots_are_the_same():
    page = "".join(Page(as_html(made_evaluation())).text)
    assert "Quoted, not measured here" in page
    assert "GSM8K, 8 shots" in page
    assert "14.6" in page
    fewer = made_evaluation(gsm8k_cot=task_result("gsm8k_cot", gsm8k(6), n_shots=2))
    assert "run with 2 shots" in "".join(Page(as_html(fewer)).text)


def test_the_paper_s_rows_are_about_tasks_and_metrics_that_exist():
    for row in ROWS:
        for measure in row.measures:
            task = KNOWN_GROUPS[measure.name].tasks[0] if measure.name in KNOWN_GROUPS else measure.name
            assert measure.key in [metric.key for metric in TASKS[task].metrics]
    assert set(GROUPS) <= set(KNOWN_GROUPS)


def test_columns_of_the_paper_are_not_filled_from_some_members():
    page = "".join(Page(as_html(made_evaluation(**{"gsm8k@llama2": gsm8k_llama2()}))).text)
    assert "GSM8K, 8 shots" in page


def gsm8k_llama2():
    return task_result("gsm8k@llama2", gsm8k(6), n_shots=8)


def test_calibration():
    result = task_result("mmlu_anatomy", mmlu(400), seed=3)
    choices = choices_of(result.task, result.items)
    assert len(choices) == 400
    bins = bins_of(choices)
    assert sum(one.n for one in bins) == 400
    assert all(one.low <= one.confidence <= one.high for one in bins if one.n)
    right = sum(one.accuracy * one.n for one in bins if one.n) / 400
    assert right == pytest.approx(result["acc"])
    assert all(one.confidence >= 0.25 for one in choices)
    by_hand = sum(abs(one.n * one.accuracy - one.n * one.confidence) for one in bins if one.n) / 400
    assert calibration_error(bins) == pytest.approx(by_hand)
    worst = most_confident_mistakes(choices, 5)
    assert not any(choice.is_right for choice in worst)
    assert worst[0].confidence == max(choice.confidence for choice in choices if not choice.is_right)


def test_times_stand_in_one_place():
    evaluation = made_evaluation()
    later = type(evaluation)(evaluation.results, evaluation.groups, evaluation.settings, {"started": "later"})
    first, second = as_html(evaluation).splitlines(), as_html(later).splitlines()
    differing = [line for line, other in zip(first, second, strict=True) if line != other]
    assert len(differing) == 1
    assert 'id="times"' in differing[0]
