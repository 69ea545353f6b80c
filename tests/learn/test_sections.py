"""The section of the book that explains a mistake: every one is found, and the right one."""

import re

import pytest

from minillama.learn import sections
from minillama.learn.chapters.catalogue import catalogue
from minillama.learn.sections import section_about


def about(id, words):
    exercise = catalogue()[id]
    (name,) = [mistake.name for mistake in exercise.mistakes if words in mistake.name]
    return section_about(exercise, name).title


def test_every_mistake_has_a_section_with_text():
    for exercise in catalogue().values():
        for name in ("", *(mistake.name for mistake in exercise.mistakes)):
            section = section_about(exercise, name)
            assert section.file[:2] <= exercise.chapter
            assert len(section.text) > 100, (exercise.id, section.title)


def test_every_rule_is_of_use():
    names = [mistake.name for exercise in catalogue().values() for mistake in exercise.mistakes]
    assert [rule for rule in sections._ELSEWHERE if not any(re.search(rule, name) for name in names)] == []


@pytest.mark.parametrize(
    ("id", "words", "title"),
    [
        ("attend_one_head", "not divided by sqrt(head_dim)", "Scores spread like √head_dim"),
        ("attend_one_head", "large ones overflow", "A score of 100 is too much for float32"),
        ("attend_one_head", "softmax runs over", "One head"),
        ("grouped_attention", "mask is off by one", "Who may look at whom"),
        ("grouped_attention", "key heads in turn", "Neighbours share"),
        ("rope_backward", "pairs (x[i]", "Two pairings, and a file does not say which"),
        ("stable_softmax", "as they are", "e⁸⁹ is more than float32 can hold"),  # not in a later chapter
        ("head_logits", "LayerNorm", "LayerNorm would take one direction more"),
        ("swiglu_forward", "GELU", "Closed must not mean upside down"),
        ("q4_0_matvec", "for neighbours", "Two weights share a byte"),
        ("adamw_step", "eps is inside", "One rate does not fit a steep and a flat direction"),
    ],
)
def test_the_section_is_about_the_mistake(id, words, title):
    assert about(id, words) == title


def test_its_text_ends_before_the_exercise_and_has_no_code():
    section = section_about(catalogue()["rope_angles"])
    assert section.title == "What one angle mixes up"
    assert section.text.startswith("At 30° a position, an arrow is back where it was after 12.")
    assert section.text.endswith("the score is their sum.")
    assert "np." not in section.text


def test_without_the_chapters_it_says_where_to_look(tmp_path):
    with pytest.raises(ValueError, match=r"in a clone of it, open notebooks/05_rope.ipynb at 'Now you"):
        section_about(catalogue()["rope_angles"], notebooks=tmp_path)
