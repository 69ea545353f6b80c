"""Files that are damaged or not what a task reads: one sentence with file and line, before a model is loaded."""

from __future__ import annotations

import gzip
import json
import os
import random
import tracemalloc

import pytest
from rows_by_hand import ARC, ARC_ORIGINAL, HUB, MMLU_CSV, PIQA, TRIVIAQA_ORIGINAL, lines

from minillama.evaluation.common.task import Dataset
from minillama.evaluation.sources import formats, rows
from minillama.evaluation.sources.reading import DocumentError, Sources


def read(folder, name, split="test"):
    return Sources([folder], hub=False).split(Dataset(name, "some/dataset"), split)


def refusal(folder, name, file, content, split="test"):
    """What is said about a file."""
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DocumentError) as error:
        read(folder, name, split)
    said = str(error.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    assert len(said) < 400 + len(str(path))
    return said.removeprefix(str(path))


GOOD = lines(ARC)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD + GOOD[:72], ", line 2: expected JSON: Expecting value at its end: it was cut off"),
        (GOOD + "[1, 2]\n", ", line 2: expected a JSON object with the fields of a document, found a list of 2"),
        (GOOD + "\n\nnull\n", ", line 4: expected a JSON object with the fields of a document, found null"),
        (GOOD + '{"question": NaN}\n', ", line 2: expected JSON: NaN is not a number of JSON"),
        (GOOD + '{"a": 1, "a": 2}\n', ', line 2: expected JSON: the key "a" is there twice'),
        (GOOD + "[" * 100_000 + "\n", ", line 2: expected JSON, found it nested too deeply"),
        (GOOD + '{"n": ' + "9" * 5000 + "}\n", ", line 2: expected JSON: "),
        (GOOD.encode() + b'{"question": "\xff"}\n', ", line 2: byte 0xff is not UTF-8; save the file as UTF-8"),
        (GOOD.encode("utf-16"), ", line 1: begins with the byte order mark of UTF-16; save the file as UTF-8"),
        (b"\xfe\xff" + GOOD.encode("utf-16-be"), ", line 1: begins with the byte order mark of UTF-16; save the file"),
        ("", ": expected documents, found an empty file: download or copy it again"),
        ("\n \n", ": expected documents, found none"),
        ("version https://git-lfs.github.com/spec/v1\noid", ": expected documents, found a git-lfs pointer"),
        ("<!DOCTYPE html><html>", ": expected documents, found a web page"),
        (b"PK\x03\x04...", ": expected documents, found a zip archive"),
        (lines({**ARC, "answerKey": "E"}), ', line 1: answerKey: expected one of A, B, C, D, found the text "E"'),
        (lines({**ARC, "answerKey": None}), ", line 1: answerKey: expected a text, found null"),
        (lines({**ARC, "answerKey": 1}), ", line 1: answerKey: expected a text, found the number 1"),
        (lines({"question": "?"}), ", line 1: expected the field 'choices', found \"question\""),
        (lines({}), ", line 1: expected the field 'question', found nothing"),
        (lines({**ARC, "choices": "A"}), ", line 1: choices: expected an object with the lists 'text' and 'label'"),
        (
            lines({**ARC, "choices": {"text": ["a", "b"], "label": ["A"]}}),
            ", line 1: choices: expected as many label as text, found 1 and 2",
        ),
        (
            lines({**ARC, "choices": {"text": ["a", 3], "label": ["A", "B"]}}),
            ", line 1: choices: expected a list of texts, found the number 3 in it",
        ),
        (
            lines({**ARC, "choices": {"text": ["a", "b"], "label": ["A", "A"]}}),
            ", line 1: choices: expected labels that differ",
        ),
        (
            lines({**ARC, "choices": {"text": ["a"], "label": ["A"]}}),
            ", line 1: choices: expected 2 to 100 choices, found 1",
        ),
        (GOOD + '{"question": "\\ud800"}\n', ", line 2: expected the field 'choices'"),
        (lines({**ARC, "question": "half \ud800"}), ", line 1: expected text, found half of a surrogate pair"),
        (lines({**ARC, "more": ["\udfff"]}), ", line 1: expected text, found half of a surrogate pair"),
        (lines({**ARC_ORIGINAL, "question": {"stem": None}}), ", line 1: question: expected a text, found null"),
    ],
)
def test_json_lines(tmp_path, content, said):
    assert refusal(tmp_path, "arc_easy", "test.jsonl", content).startswith(said)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("mmlu_anatomy", {"answer": 4}, "answer: expected a number from 0 to 3, found the number 4"),
        ("mmlu_anatomy", {"answer": "C"}, 'answer: expected a number from 0 to 3, found the text "C"'),
        ("mmlu_anatomy", {"answer": True}, "answer: expected a number from 0 to 3, found the boolean true"),
        ("mmlu_anatomy", {"choices": ["a", "b"]}, "choices: expected 4 texts, found 2"),
        ("piqa", {"label": -1}, "label: expected a number from 0 to 1, found the number -1"),
        ("winogrande", {"answer": ""}, 'answer: expected 1 or 2 as a text, found the text ""'),
        ("winogrande", {"sentence": "no gap"}, "sentence: expected a gap, written _, found none"),
        ("hellaswag", {"label": ""}, 'label: expected a number from 0 to 3, found the text ""'),
        ("hellaswag", {"endings": []}, "endings: expected a list of texts, found a list of 0"),
        ("boolq", {"label": 2}, "label: expected a number from 0 to 1, found the number 2"),
        ("gsm8k", {"answer": " "}, "answer: expected a text, found an empty one"),
        ("nq_open", {"answer": "one"}, 'answer: expected a list of texts, found the text "one"'),
        ("nq_open", {"answer": [None]}, "answer: expected a list of texts, found null in it"),
        ("triviaqa", {"answer": {"value": "x"}}, "answer: expected an object with the list 'aliases'"),
        ("triviaqa", {"answer": {"aliases": []}}, "answer: aliases: expected a list of texts, found a list of 0"),
        (
            "truthfulqa",
            {"mc1_targets": {"choices": ["a", "b"], "labels": [0, 1]}},
            "mc1_targets: expected the first choice to be the only true one",
        ),
        (
            "truthfulqa",
            {"mc1_targets": {"choices": ["a"], "labels": [1]}},
            "mc1_targets: expected 2 or more choices, found 1",
        ),
        (
            "truthfulqa",
            {"mc2_targets": {"choices": ["a", "b"], "labels": [0, 2]}},
            "mc2_targets: expected labels 0 or 1, found the number 2",
        ),
        (
            "truthfulqa",
            {"mc2_targets": {"choices": ["a", "b"], "labels": [0, 0]}},
            "mc2_targets: expected a choice that is true, found none",
        ),
        ("wikitext", {"page": 3}, "page: expected a text, found the number 3"),
    ],
)
def test_fields(tmp_path, name, change, said):
    content = lines(HUB[name], {**HUB[name], **change})
    assert refusal(tmp_path, name, "test.jsonl", content).startswith(f", line 2: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (MMLU_CSV + "a,b,c\n", ", line 2: expected 6 columns (question, four choices, a letter), found 3"),
        ('"two\nlines",a,b,c,d,A\nq,a,b,c,d,E\n', ", line 3: expected A, B, C or D in the last column, found 'E'"),
        (MMLU_CSV + '"open,a,b,c,d,A\n', ", line 2: expected CSV: unexpected end of data; a quote"),
        (MMLU_CSV + "q" * 200_000 + ",a,b,c,d,A\n", ", line 2: expected CSV: field larger than field limit"),
        ("question,choice0,choice1,choice2,choice3,answer\n", ", line 1: expected A, B, C or D in the last column"),
        (b"\xff,a,b,c,d,A\n", ", line 1: byte 0xff is not UTF-8"),
    ],
)
def test_csv_of_mmlu(tmp_path, content, said):
    path = tmp_path / "mmlu" / "test" / "anatomy_test.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DocumentError) as error:
        read(tmp_path, "mmlu_anatomy")
    assert str(error.value).startswith(f"{path}{said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("goal,sol1,sol2,label\na,b,c\n", ", line 2: expected 4 columns (goal, sol1, sol2, label), found 3"),
        ("goal,goal,sol2,label\n", ", line 1: expected a first row with a name for every column, each once"),
        ("goal,sol1,sol2,label\na,b,c,7\n", ", line 2: label: expected a number from 0 to 1, found the number 7"),
        ("goal,sol1,sol2,label\na,b,c,x\n", ', line 2: label: expected a number from 0 to 1, found the text "x"'),
        ("goal,sol1,sol2\na,b,c\n", ", line 2: expected the field 'label', found"),
    ],
)
def test_csv_with_names(tmp_path, content, said):
    assert refusal(tmp_path, "piqa", "validation.csv", content, "validation").startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"Data": [', ", line 1: expected a JSON value, found the end of the file"),
        ('{"Dat": []}', ', line 1: expected the key "Data"'),
        ('{"Data": {}}', ', line 1: expected a JSON array of documents, or an object with one under "Data"'),
        ('{"Data":\n [\n {},\n 3]}', ", line 3: question: expected a text"),
        ('{"Data": [{"Question": "a"} {}]}', ", line 1: "),
        (json.dumps({"Data": [TRIVIAQA_ORIGINAL] * 3}, indent=1)[:1500], ", line "),
        (json.dumps({"Data": [TRIVIAQA_ORIGINAL]}).encode() + b"\xff", ", line 1: byte 0xff near here is not UTF-8"),
    ],
)
def test_arrays(tmp_path, content, said):
    found = refusal(tmp_path, "triviaqa", "wikipedia-dev.json", content, "validation")
    assert found.startswith(said) or "expected the field" in found


def test_a_second_array_is_not_left_out_in_silence(tmp_path):
    content = json.dumps([HUB["arc_easy"]] * 2)
    said = refusal(tmp_path, "arc_easy", "test.json", f"{content}\n{content}")
    assert said == ", line 2: expected the end of the file after the array, found '['"


def test_labels_beside(tmp_path):
    unlabelled = {key: PIQA[key] for key in ("goal", "sol1", "sol2")}
    folder = tmp_path / "piqa"
    folder.mkdir()
    (folder / "valid-labels.lst").write_text("0\n1\n")
    said = refusal(tmp_path, "piqa", "valid.jsonl", lines(unlabelled), "validation")
    assert said == ": expected 2 documents, as many as its labels, found 1"
    said = refusal(tmp_path, "piqa", "valid.jsonl", lines(*[unlabelled] * 3), "validation")
    assert said == ", line 3: expected a label for each document, found 2"
    (folder / "valid-labels.lst").write_text("0\n5\n")
    said = refusal(tmp_path, "piqa", "valid.jsonl", lines(*[unlabelled] * 2), "validation")
    assert said == ', line 2: label: expected a number from 0 to 1, found the text "5"'
    (folder / "valid-labels.lst").unlink()
    said = refusal(tmp_path, "piqa", "valid.jsonl", lines(unlabelled), "validation")
    assert said.startswith(", line 1: expected the field 'label'")


def test_what_editors_leave(tmp_path):
    """A byte order mark, Windows' line ends, no last line end, ids that come twice."""
    (tmp_path / "arc_easy").mkdir()
    content = b"\xef\xbb\xbf" + (GOOD + GOOD).replace("\n", "\r\n").rstrip().encode()
    (tmp_path / "arc_easy" / "test.jsonl").write_bytes(content)
    assert read(tmp_path, "arc_easy") == [ARC, ARC]


def test_damaged_gzip(tmp_path):
    whole = gzip.compress((GOOD * 2000).encode())
    assert refusal(tmp_path, "arc_easy", "test.jsonl.gz", whole[:-30]).startswith(": is damaged")
    assert refusal(tmp_path, "arc_easy", "test.jsonl.gz", GOOD).startswith(": is damaged: Not a gzipped file")
    assert refusal(tmp_path, "arc_easy", "test.jsonl.gz", whole[:-8] + bytes(4) + whole[-4:]).startswith(": is dam")


def test_memory_is_bounded(tmp_path, monkeypatch):
    """A line without an end, and a small file that unpacks to much, are refused before they fill the memory."""
    monkeypatch.setattr(rows, "MAX_BYTES", 40 << 20)
    packed = gzip.compress(b'{"question": "' + b"a" * (60 << 20), 1)
    tracemalloc.start()
    said = refusal(tmp_path, "arc_easy", "test.jsonl.gz", packed)
    assert said == f", line 1: expected lines of at most {rows.MAX_ROW} bytes, found a longer one"
    assert tracemalloc.get_traced_memory()[1] < 5 * rows.MAX_ROW
    tracemalloc.stop()
    said = refusal(tmp_path / "2", "arc_easy", "test.jsonl.gz", gzip.compress((b" " * 1023 + b"\n") * (45 << 10), 1))
    assert "expected at most 41943040 bytes, found more" in said


def test_blank_lines_without_end(tmp_path, monkeypatch):
    """A megabyte unpacks to a thousand million of them, which took ten minutes."""
    monkeypatch.setattr(rows, "MAX_LINES", 1000)
    for ending in ("jsonl.gz", "csv"):
        content = b"\n" * 2000
        packed = gzip.compress(content) if ending.endswith("gz") else content
        said = refusal(tmp_path / ending, "arc_easy", f"test.{ending}", packed)
        assert said.endswith(", line 1001: expected at most 1000 lines, found more")


def test_parquet_that_unpacks_to_much(tmp_path, monkeypatch):
    """A text that all rows share is in the file once, and once in the sizes that its metadata says."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(formats, "MAX_BYTES", 8 << 20)
    path = tmp_path / "piqa" / "validation.parquet"
    path.parent.mkdir()
    columns = {"goal": ["a" * 100_000] * 500, "sol1": ["b"] * 500, "sol2": ["c"] * 500, "label": [0] * 500}
    parquet.write_table(pyarrow.table(columns), path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DocumentError, match=r"line \d+: expected at most 8388608 bytes, found more"):
        read(tmp_path, "piqa", "validation")


def test_a_file_that_cannot_be_opened(tmp_path):
    path = tmp_path / "arc_easy" / "test.jsonl"
    path.parent.mkdir()
    path.write_text(GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DocumentError, match=r"test.jsonl: cannot be read: Permission denied"):
        read(tmp_path, "arc_easy")


@pytest.mark.parametrize(
    "name", ["arc_easy", "truthfulqa", "triviaqa", "hellaswag", "mmlu_anatomy", "piqa", "openbookqa", "nq_open"]
)
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_mutations(tmp_path, name, ending):
    """Bytes that are cut, repeated, replaced and moved: documents or a DocumentError, and never another error."""
    rng = random.Random(f"{name} {ending}")
    row = HUB[name]
    path = tmp_path / name / f"test.{ending}"
    path.parent.mkdir()
    if ending == "parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet")
        pa.parquet.write_table(pa.Table.from_pylist([row] * 3), path)
    elif ending == "csv":
        from test_reading import as_csv

        path.write_text(as_csv(row) + as_csv(row).partition("\n")[2])
    else:
        path.write_text(lines(row, row) if ending == "jsonl" else json.dumps([row, row], indent=1))
    good, refused, read_well = path.read_bytes(), [], 0
    for _ in range(120):
        path.write_bytes(mutated(good, rng))
        try:
            documents = read(tmp_path, name)
        except DocumentError as error:
            refused.append(str(error))
        else:
            json.dumps(documents, ensure_ascii=False).encode()
            read_well += 1
    assert len(refused) > 20
    assert all(said.startswith(str(path)) and "\n" not in said for said in refused)
    assert read_well > 0 or ending == "json"


_PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"\\ud800",
    b"{",
    b"[",
    b"]",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b",",
    b"\\",
]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A file with one to three changes."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(found) + 1)
        end = min(len(found), at + rng.choice([0, 1, 1, 2, 8, 60]))
        kind = rng.randrange(4)
        if kind == 0:
            found[at:end] = rng.choice(_PIECES)
        elif kind == 1:
            found[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
        elif kind == 2:
            found[at:at] = found[at:end] * rng.randint(1, 3)
        elif rng.random() < 0.3:
            del found[at:]
    return bytes(found)
