"""The section of the book that explains a mistake: every one is found, and the right one."""

import re

import pytest

from minillama.learn import sections
from minillama.learn.chapters.catalogue import catalogue
from minillama.learn.formulas import readable
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
        ("attend_many_heads", "last query for the last key", "Who may look at whom"),
        ("grouped_attention", "mask is off by one", "Who may look at whom"),
        ("grouped_attention", "key heads in turn", "Neighbours share"),
        ("rope_backward", "pairs (x[i]", "Two pairings, and a file does not say which"),
        ("stable_softmax", "as they are", "e⁸⁹ is more than float32 can hold"),  # not in a later chapter
        ("head_logits", "LayerNorm", "LayerNorm would take one direction more"),
        ("swiglu_forward", "is GELU", "Closed must not mean upside down"),
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


def test_where_code_and_pictures_stand_is_marked():
    text = section_about(catalogue()["rope_interleaved"]).text
    assert "this is `turn` again and again:\n\n*[code]*\n\n" in text
    texts = [section_about(exercise).text for exercise in catalogue().values()]
    assert any("*[picture]*" in text for text in texts)
    assert not any(text.endswith("]*") or "*[code]*\n\n*[code]*" in text for text in texts)


def test_without_the_chapters_it_is_shown_and_says_where_the_rest_is(tmp_path, monkeypatch, capsys):
    from minillama.cli import revision
    from minillama.learn.workspace.folder import Workspace

    monkeypatch.setattr(sections, "NOTEBOOKS", tmp_path / "none")
    revision.print_why(Workspace(tmp_path), catalogue()["rope_angles"])
    shown = capsys.readouterr().out
    assert "an arrow is back where it was after 12" in shown
    assert "notebooks/05_rope.ipynb in a clone of the repository" in shown
    settings = (sections.KEPT.parents[2] / "pyproject.toml").read_text()
    assert '"learn/*.json"' in settings, "part of the package"


def test_names_in_tables_are_not_cut_in_a_narrow_terminal(tmp_path, monkeypatch, capsys):
    from minillama.cli import revision
    from minillama.learn.workspace.folder import Workspace

    monkeypatch.setenv("COLUMNS", "80")
    revision.print_why(Workspace(tmp_path), catalogue()["read_config"])
    shown = capsys.readouterr().out
    assert "num_hidden_laye" in shown, "and goes on in the next line"
    table = shown[shown.index("SmolLM2") :].split("Three more numbers")[0]
    assert "…" not in table


# --- formulas ------------------------------------------------------------------------------


def test_every_formula_of_the_sections_has_a_text():
    for text in {section_about(exercise).text for exercise in catalogue().values()}:
        shown = readable(text)
        assert not re.search(r"\$|\\[A-Za-z]|\\,", shown), shown


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"y_{2i} = x_{2i} \cos\varphi_i", "y₂ᵢ = x₂ᵢ cos φᵢ"),
        (r"\frac{e^{z_i}}{\sum_j e^{z_j}}", "e^zᵢ / (Σⱼ e^zⱼ)"),
        (r"-\log \frac{a}{b}", "−log (a/b)"),
        (r"\frac1D \sum_i x_i^2", "(1/D) Σᵢ xᵢ²"),
        (r"\frac{1 + \cos(\pi u)}{2} .", "(1 + cos(π u)) / 2."),
        (r"\hat\mu / \sqrt{\hat\nu + \varepsilon}", "μ\u0302 / √(ν\u0302 + ε)"),
        (r"e^{-\eta} + 10^{-5}", "e^(−η) + 10⁻⁵"),
        (r"W_{up} \in \mathit{window}", "W_up ∈ window"),
        (r"\begin{pmatrix} 4 & 0 \\ \tfrac14 & -4 \end{pmatrix}", "[[4, 0], [1/4, −4]]"),
        (r"\text{warm-up}\,t - 1", "warm-up t − 1"),
        (r"\partial r / \partial x, \max_i \lvert W_i\rvert", "∂r / ∂x, maxᵢ |Wᵢ|"),
    ],
)
def test_formulas_read_as_text(latex, text):
    assert readable(f"so ${latex}$ it is") == f"so {text} it is"


def test_a_formula_of_its_own_has_a_line_for_each_statement():
    assert readable("with\n$$ a = 1, \\qquad b = 2 . $$\nand") == "with\n\n    a = 1\n    b = 2\n\nand"
    with pytest.raises(ValueError, match=r"there is no text for \\unheard"):
        readable(r"$\unheard$")
