"""The folder of a comparison: what is kept, what is refused, and a report that says what the votes say."""

import json
import re

import pytest
from made_pairs import pairs, vote

from minillama.evaluation.preference import (
    PreferenceFolder,
    Rating,
    Rule,
    VoteLog,
    judge_pairs,
    longer_answer,
    read_all_votes,
    results_of,
)
from minillama.evaluation.preference.report import Heading, Quoted, Table, as_html, as_markdown

HOSTILE = "<script>alert(1)</script> | **bold** `code`\n# heading\n\n---"


def judged(folder, found):
    kept = PreferenceFolder(folder)
    kept.keep_pairs(found)
    judge = Rule(longer_answer, "longer")
    with kept.log("longer") as log:
        judge_pairs(judge, found, log)
    for name, preferences in (("ada", [3, 1, -1]), ("bob", [2, 1, -3])):
        with kept.log(name) as log:
            log.append(*[vote(p, x, name, is_person=True) for p, x in zip(found, preferences)])
    return kept


def test_the_report_says_what_the_votes_say(tmp_path):
    found = pairs(30)
    kept = judged(tmp_path, found)
    results, files = kept.report()
    assert [c.rater for c in results.comparisons] == ["longer", "ada", "bob", "all persons"]
    everyone = results.comparisons[-1]
    assert (everyone.win.value, everyone.loss.value, everyone.n_pairs) == pytest.approx((2 / 3, 1 / 3, 3))
    assert set(results.agreement) == {
        "all persons, seven points",
        "longer and ada, win, tie or loss",
        "longer and bob, win, tie or loss",
        "ada and bob, win, tie or loss",
    }
    assert results.agreement["ada and bob, win, tie or loss"].value == pytest.approx(1)
    assert [path.name for path in files] == ["results.json", "report.md", "report.html"]
    said = json.loads((tmp_path / "results.json").read_text())
    assert said["comparisons"][0]["rate"]["value"] == 0
    assert said["settings"]["seed"] == 0
    markdown, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    for text in ("66.7 %", "one : other", "longer", "all persons"):
        assert text in markdown
        assert text in page
    kept.report()
    assert (tmp_path / "report.html").read_text() == page
    assert json.loads((tmp_path / "results.json").read_text()) == said


def test_texts_of_models_stay_texts(tmp_path):
    found = pairs(3, answer=lambda system, i: HOSTILE + system)
    kept = judged(tmp_path, found)
    kept.report()
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href|url)\s*[=(]", page)
    markdown = (tmp_path / "report.md").read_text()
    quoted = [line for line in markdown.splitlines() if "heading" in line or "alert(1)" in line]
    assert quoted
    assert all(line.startswith("    ") for line in quoted)


def test_markdown_and_html_have_the_same_cells():
    table = Table(("a|b", "c"), [("<x>", "1 %"), ("_y_", "–")])
    markdown = as_markdown("T", [Heading("H"), table, Quoted("a\nb"), "text"])
    assert "| a\\|b | c |\n|---|---:|\n| \\<x\\> | 1 % |" in markdown
    page = as_html("T", [Heading("H"), table, Quoted("a\nb"), "text"])
    assert re.findall("<t[dh](?: [^>]*)?>(.*?)</t[dh]>", page) == ["a|b", "c", "&lt;x&gt;", "1 %", "_y_", "–"]


def test_pairs_may_be_added_but_not_changed(tmp_path):
    kept = PreferenceFolder(tmp_path)
    two, three = pairs(4), pairs(4, ("one", "other", "third"))
    assert kept.keep_pairs(two) == two == kept.read_pairs()
    assert kept.keep_pairs(three) == three == kept.read_pairs()
    with pytest.raises(ValueError, match=r"holds 8 pairs that are not among the given ones, .* p0: take another"):
        kept.keep_pairs(two)
    with pytest.raises(ValueError, match="found 4 different ones of 8"):
        PreferenceFolder(tmp_path / "twice").keep_pairs(two + two)
    lines = (tmp_path / "pairs.jsonl").read_text().replace("says 1", "SAYS 1")
    (tmp_path / "pairs.jsonl").write_text(lines)
    with pytest.raises(ValueError, match=r"pairs\.jsonl, line 4: the pair was changed"):
        kept.read_pairs()


def test_settings_stay(tmp_path):
    kept = PreferenceFolder(tmp_path)
    assert kept.settings(seed=None) == {"seed": 0, "orders": "both", "safety": False}
    assert not (tmp_path / "settings.json").exists()
    kept.keep_settings(kept.settings(seed=4, orders="drawn"))
    assert kept.settings() == {"seed": 4, "orders": "drawn", "safety": False}
    with pytest.raises(ValueError, match="has seed = 4, not 5"):
        kept.settings(seed=5)
    with pytest.raises(ValueError, match='orders should be "both" or "drawn"'):
        PreferenceFolder(tmp_path / "new").settings(orders="all")
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json is not JSON"):
        kept.settings()


def test_three_systems_are_ranked_and_what_cannot_be_is_said():
    found = pairs(20, ("a", "b", "c"))
    votes = [vote(pair, 1 if n % 3 else -1) for n, pair in enumerate(found)]
    results = results_of(found, votes)
    assert len(results.rankings["judge"].standings) == 3
    apart = [*pairs(3, ("a", "b")), *pairs(3, ("c", "d"))]
    results = results_of(apart, [vote(pair, 1) for pair in apart])
    assert results.rankings == {}
    assert "no comparison connects a, b with c, d" in results.problems[0]


def test_ties_that_nobody_was_shown_are_no_agreement_and_have_no_place(tmp_path):
    """Ten pairs of the same text, and two on which two people differ, each for what stood first."""
    found = pairs(12, answer=lambda system, i: f"{system} {i}" if i < 2 else "the same")
    for rater, shown in (("ada", 0), ("ben", 1)):
        with VoteLog(tmp_path, rater) as log:
            Rating(found, log)
            log.append(*(vote(pair, 1 - 2 * shown, rater, shown, is_person=True) for pair in found[:2]))
    results = results_of(found, read_all_votes(tmp_path))
    assert {(c.rater, c.first_wins.value, c.tie.n) for c in results.comparisons[:2]} == {("ada", 1, 12), ("ben", 1, 12)}
    assert {a.n_items for a in results.agreement.values()} == {2}
    assert results.agreement["ada and ben, win, tie or loss"].observed == 0


def test_no_votes_at_all(tmp_path):
    kept = PreferenceFolder(tmp_path)
    with pytest.raises(ValueError, match="has no pairs yet"):
        kept.report()
    kept.keep_pairs(pairs(2))
    results, _ = kept.report()
    assert results.comparisons == ()
    assert "No votes yet" in (tmp_path / "report.md").read_text()
