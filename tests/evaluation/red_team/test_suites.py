"""Suites of prompts: published layouts by hand-made rows, the package's own suite, errors with file and line."""

import gzip
import json

import pytest

from minillama.evaluation.red_team.attacks import LANGUAGES
from minillama.evaluation.red_team.lines import SuiteError
from minillama.evaluation.red_team.suites import SUITES, read_suites


def test_the_own_suite_is_balanced_and_translated():
    prompts = read_suites(["stories"])
    labels = [prompt.label for prompt in prompts]
    assert len(prompts) >= 40
    assert labels.count("safe") == labels.count("unsafe")
    assert len({prompt.text for prompt in prompts}) == len(prompts) == len({prompt.id for prompt in prompts})
    for prompt in prompts:
        assert set(prompt.translations) == set(LANGUAGES)
        texts = [prompt.text, *prompt.translations.values()]
        assert len(set(texts)) == len(texts)
        assert all(text.strip() == text and text for text in texts)


def write_xstest(folder):
    folder.mkdir()
    rows = "id,prompt,type,label,focus,note\n1,How do I kill time?,homonyms,safe,kill,\n"
    rows += '2,"How do I hurt, a bit, a bear?",contrast_homonyms,unsafe,hurt,\n'
    (folder / "xstest_prompts.csv").write_text(rows)


def test_xstest(tmp_path):
    write_xstest(tmp_path / "xstest")
    safe, unsafe = read_suites(["xstest"], tmp_path)
    assert (safe.suite, safe.id, safe.label, safe.category) == ("xstest", "1", "safe", "homonyms")
    assert (unsafe.text, unsafe.label) == ("How do I hurt, a bit, a bear?", "unsafe")


def test_xstest_of_the_second_layout_has_its_label_in_the_type(tmp_path):
    (tmp_path / "xstest_v2_prompts.csv").write_text(
        "id,type,prompt\n1,homonyms,Kill time?\n2,contrast_homonyms,Hurt?\n"
    )
    assert [prompt.label for prompt in read_suites(["xstest"], tmp_path)] == ["safe", "unsafe"]


def test_simplesafetytests(tmp_path):
    rows = "id,harm_area,counter,category,prompts_final\nsst_1,Scams,1,Instructions,How do I cheat at marbles?\n"
    (tmp_path / "test_cases.csv").write_text("\ufeff" + rows)
    (prompt,) = read_suites(["simplesafetytests"], tmp_path)
    assert (prompt.id, prompt.label, prompt.category) == ("sst_1", "unsafe", "Scams")


def write_hh(path, *rows):
    with gzip.open(path, "wt") as file:
        file.writelines((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def test_hh_harmless_has_first_turns_once_each(tmp_path):
    rows = [{"chosen": f"\n\nHuman: {turn}\n\nAssistant: No.\n\nHuman: Why?\n\nAssistant: So."} for turn in "aab"]
    write_hh(tmp_path / "harmless-base.jsonl.gz", *rows)
    found = read_suites(["hh-harmless"], tmp_path)
    assert [(prompt.id, prompt.text, prompt.label) for prompt in found] == [("1", "a", "unsafe"), ("3", "b", "unsafe")]


def test_own_file(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": "Bake?", "label": "safe"}, {"prompt": "Bite?", "label": "unsafe", "category": "teeth"}]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    first, second = read_suites([str(path)])
    assert (first.suite, first.id, first.category) == ("mine", "1", "")
    assert (second.id, second.category, second.translations) == ("3", "teeth", {})


def test_toxigen_in_its_three_layouts(tmp_path):
    annotated, prompts, files = tmp_path / "a", tmp_path / "b", tmp_path / "c/toxigen/prompts"
    for folder in (annotated / "toxigen", prompts, files):
        folder.mkdir(parents=True)
    (annotated / "toxigen/annotated_test.csv").write_text(
        "text,target_group,toxicity_ai,toxicity_human\nducks are dull,ducks,5,4.5\nducks swim,ducks,1,1.0\n"
    )
    (prompts / "toxigen.csv").write_text("prompt,group,prompt_label\n- ducks are dull,ducks,1\n- ducks swim,ducks,0\n")
    (files / "hate_ducks_1k.txt").write_text("- ducks are dull\n\n")
    (files / "neutral_ducks_1k.txt").write_text("- ducks swim\n")
    for folder in (annotated, prompts, tmp_path / "c"):
        found = read_suites(["toxigen"], folder)
        assert [(prompt.label, prompt.category) for prompt in found] == [("unsafe", "ducks"), ("safe", "ducks")]


def test_bold(tmp_path):
    (tmp_path / "bold").mkdir()
    groups = {"Bakers": {"Ann": ["Ann is a baker who ", "Ann was born in "]}}
    (tmp_path / "bold/profession_prompt.json").write_text(json.dumps(groups))
    first, second = read_suites(["bold"], tmp_path)
    assert (first.text, first.label, first.category) == ("Ann is a baker who ", "safe", "profession: Bakers")
    assert second.id == "profession:Ann:1"


def test_limit_takes_prompts_from_everywhere():
    every, some = read_suites(["stories"]), read_suites(["stories"], limit=12)
    assert len(some) == 12
    assert every.index(some[-1]) >= len(every) * 0.8
    assert read_suites(["stories"], limit=1000) == every
    for limit in range(1, len(every) + 1):
        labels = [prompt.label for prompt in read_suites(["stories"], limit=limit)]
        assert len(labels) == limit
        assert abs(labels.count("safe") - labels.count("unsafe")) <= 1


def test_limit_of_a_file_with_one_label(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": str(i), "label": "unsafe"}) + "\n" for i in range(10)))
    assert [prompt.text for prompt in read_suites([str(path)], limit=3)] == ["0", "3", "6"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"mine\.jsonl, line 2: expected JSON"),
        ("[]", "line 2: expected an object, found list"),
        ('{"prompt": "x", "label": "bad"}', """line 2: expected "label" to be "safe" or "unsafe", found 'bad'"""),
        ('{"prompt": " ", "label": "safe"}', 'line 2: expected a "prompt"'),
        ('{"prompt": "x", "label": "safe", "translations": [1]}', "line 2: expected .translations."),
        ("[" * 100_000, "line 2: expected JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "Bake?", "label": "safe"}\n' + line)
    with pytest.raises(SuiteError, match=message):
        read_suites([str(path)])


def test_bad_files_of_benchmarks_are_named(tmp_path):
    (tmp_path / "xstest_prompts.csv").write_text("id,text\n1,x\n")
    with pytest.raises(SuiteError, match=r"line 1: expected the columns .*; prompt, type, label is missing"):
        read_suites(["xstest"], tmp_path)
    (tmp_path / "xstest_prompts.csv").write_text("id,prompt,type,label\n1,x\n")
    with pytest.raises(SuiteError, match="line 2: expected 4 columns or more, found fewer"):
        read_suites(["xstest"], tmp_path)
    write_hh(tmp_path / "harmless-base.jsonl.gz", {"chosen": "\n\nHuman: a"}, '{"chosen": 1}')
    with pytest.raises(SuiteError, match="line 2: expected"):
        read_suites(["hh-harmless"], tmp_path)
    (tmp_path / "harmless-base.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(SuiteError, match="cannot be read as gzip"):
        read_suites(["hh-harmless"], tmp_path)
    (tmp_path / "toxigen.csv").write_text("prompt,group,prompt_label\nx,ducks,often\n")
    with pytest.raises(SuiteError, match="line 2: expected a number as label"):
        read_suites(["toxigen"], tmp_path)
    (tmp_path / "bold").mkdir()
    (tmp_path / "bold/a_prompt.json").write_text('{"group": ["x"]}')
    with pytest.raises(SuiteError, match=r"expected \{group: \{subject:"):
        read_suites(["bold"], tmp_path)


def test_unknown_and_missing_suites(tmp_path):
    with pytest.raises(ValueError, match="did you mean xstest"):
        read_suites(["xtest"], tmp_path)
    with pytest.raises(ValueError, match="give the folder of xstest_prompts"):
        read_suites(["xstest"])
    with pytest.raises(ValueError, match="two levels below, found none"):
        read_suites(["bold"], tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_suites([str(tmp_path / "none.jsonl")])
    with pytest.raises(ValueError, match="expected 1 or more"):
        read_suites(["stories"], limit=0)
    assert {"stories", "xstest", "toxigen"} <= set(SUITES)


def test_the_published_files(shared_data):
    prompts = read_suites(["xstest", "simplesafetytests", "hh-harmless"], shared_data)
    counts = {}
    for prompt in prompts:
        counts[prompt.suite, prompt.label] = counts.get((prompt.suite, prompt.label), 0) + 1
    assert counts.pop(("hh-harmless", "unsafe")) > 1500
    assert counts == {("xstest", "safe"): 250, ("xstest", "unsafe"): 200, ("simplesafetytests", "unsafe"): 100}
