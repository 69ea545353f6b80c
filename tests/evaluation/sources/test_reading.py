"""Documents from folders: the Hub's field names, each benchmark's own files, and what is found where."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random

import pytest
from rows_by_hand import ARC, HUB, MMLU, ORIGINALS, TRIVIAQA_ORIGINAL, lines

from minillama.evaluation.common.task import Dataset
from minillama.evaluation.sources.array import array_rows
from minillama.evaluation.sources.places import name_of
from minillama.evaluation.sources.reading import DocumentError, Sources
from minillama.evaluation.sources.schemas import schema_of


def read(folder, name, split="test", hub="some/dataset"):
    return Sources([folder], hub=False).split(Dataset(name, hub), split)


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def as_csv(row):
    """A row as CSV: what is not text is JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row))
    writer.writeheader()
    writer.writerow({key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()})
    return text.getvalue()


@pytest.mark.parametrize("name", list(HUB))
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "csv", "parquet"])
def test_every_dataset_in_every_format(tmp_path, name, ending):
    row = HUB[name]
    if ending == "parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet")
        (tmp_path / name).mkdir()
        pa.parquet.write_table(pa.Table.from_pylist([row, row]), tmp_path / name / "test.parquet")
        assert json.dumps(read(tmp_path, name)) == json.dumps([row, row])
        return
    content = {
        "jsonl": lines(row, row).encode(),
        "jsonl.gz": gzip.compress(lines(row, row).encode()),
        "json": json.dumps([row, row], indent=2).encode(),
        "csv": (as_csv(row) + as_csv(row).partition("\n")[2]).encode(),
    }[ending]
    put(tmp_path, {f"{name}/test.{ending}": content})
    found = read(tmp_path, name)
    if ending == "csv":  # what lies outside the schema stays text there
        keys = schema_of(name_of(name).family).fields
        found, row = [{key: document[key] for key in keys} for document in found], {key: row[key] for key in keys}
    assert json.dumps(found) == json.dumps([row, row])


@pytest.mark.parametrize(("name", "split", "files", "document"), ORIGINALS, ids=lambda v: next(iter(v), "")[:40])
def test_files_of_the_authors(tmp_path, name, split, files, document):
    put(tmp_path, files)
    assert json.dumps(read(tmp_path, name, split)) == json.dumps([document])  # the same order of fields: equal hashes


def test_both_halves_of_triviaqa(tmp_path):
    """The harness tests web and Wikipedia together, the papers Wikipedia alone."""
    web = {**TRIVIAQA_ORIGINAL, "QuestionId": "web_1"}
    put(
        tmp_path,
        {
            "triviaqa/qa/web-dev.json": json.dumps({"Data": [web]}),
            "triviaqa/qa/wikipedia-dev.json": json.dumps({"Data": [TRIVIAQA_ORIGINAL]}),
        },
    )
    both = read(tmp_path, "triviaqa", "validation", "mandarjoshi/trivia_qa:rc.nocontext")
    assert [document["question_id"] for document in both] == ["web_1", "hand_1"]
    wikipedia = read(tmp_path, "triviaqa", "validation", "mandarjoshi/trivia_qa:rc.wikipedia.nocontext")
    assert [document["question_id"] for document in wikipedia] == ["hand_1"]


def test_pages_of_wikitext(tmp_path):
    """As EleutherAI/wikitext_document_level divides them: white space, headings and line ends stay."""
    text = " \n = Rye = \n \n Rye is a grass . \n \n = = Use = = \n \n Bread . \n \n = Oats = \n \n Also a grass . \n"
    put(tmp_path, {"wikitext/wiki.test.raw": text, "crlf/wikitext/wiki.test.tokens": text.replace("\n", "\r\n")})
    first = " = Rye = \n \n Rye is a grass . \n \n = = Use = = \n \n Bread . \n "
    expected = [{"page": first}, {"page": " = Oats = \n \n Also a grass . \n"}]
    assert read(tmp_path, "wikitext") == expected
    assert read(tmp_path / "crlf", "wikitext") == expected


def test_all_subjects_of_mmlu_in_one_file(tmp_path):
    other = {**MMLU, "subject": "virology"}
    put(tmp_path, {"mmlu/test.jsonl": lines(MMLU, other, MMLU)})
    assert len(read(tmp_path, "mmlu_anatomy")) == 2
    assert read(tmp_path, "mmlu/virology") == [other]
    with pytest.raises(DocumentError, match=r"test.jsonl: expected documents with the text \"astronomy\" as their sub"):
        read(tmp_path, "mmlu_astronomy")


def test_a_subject_in_a_folder_of_its_own(tmp_path):
    put(tmp_path, {"mmlu/anatomy/test.jsonl": lines(MMLU), "mmlu_virology/test.jsonl": lines(MMLU)})
    assert read(tmp_path, "mmlu_anatomy") == read(tmp_path, "mmlu/anatomy") == read(tmp_path, "mmlu_virology") == [MMLU]


def test_the_first_folder_that_has_it(tmp_path):
    put(tmp_path, {"b/gsm8k/test.jsonl": lines(HUB["gsm8k"]), "c/gsm8k/test.jsonl": "broken"})
    sources = Sources([tmp_path / "a", tmp_path / "b", tmp_path / "c"], hub=False)
    assert sources.split(Dataset("gsm8k", "openai/gsm8k:main"), "test") == [HUB["gsm8k"]]


def test_parts_of_a_parquet_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "arc_easy" / "ARC-Easy"
    folder.mkdir(parents=True)
    for part in range(2):
        table = pa.Table.from_pylist([{**ARC, "id": f"hand_{part}"}])
        pa.parquet.write_table(table, folder / f"test-0000{part}-of-00002.parquet")
    found = read(tmp_path, "arc_easy", hub="allenai/ai2_arc:ARC-Easy")
    assert [document["id"] for document in found] == ["hand_0", "hand_1"]
    (folder / "test-00001-of-00002.parquet").unlink()
    with pytest.raises(DocumentError, match="expected 2 parts, found 1"):
        read(tmp_path, "arc_easy", hub="allenai/ai2_arc:ARC-Easy")


def test_two_files_that_could_both_be_meant(tmp_path):
    put(tmp_path, {"boolq/validation.jsonl": lines(HUB["boolq"]), "boolq/dev.jsonl": lines(HUB["boolq"])})
    with pytest.raises(DocumentError, match=r"validation.jsonl and .*dev.jsonl could both be meant; keep one"):
        read(tmp_path, "boolq", "validation")


def test_nothing_found_says_where_it_was_looked_for(tmp_path):
    """The files that would have been right, the folders, and what lies there instead."""
    put(tmp_path, {"a/piqa/train.jsonl": "", "a/piqa/notes.txt": ""})
    with pytest.raises(DocumentError) as error:
        Sources([tmp_path / "a", tmp_path / "b"], hub=False).split(Dataset("piqa", "baber/piqa"), "validation")
    assert str(error.value) == (
        "no documents of piqa (validation): looked for validation.jsonl (or .jsonl.gz, .json, .csv, .parquet) or "
        f"valid.jsonl or dev.jsonl in {tmp_path / 'a' / 'piqa'} (which holds notes.txt, train.jsonl), "
        f"{tmp_path / 'b' / 'piqa'}; put one into DIR/piqa and give DIR as a folder of data "
        "(--data DIR), or allow the Hub to be asked for baber/piqa"
    )
    with pytest.raises(DocumentError, match=r"looked for dev.jsonl .* or dev/anatomy_dev.csv in no folder; put one"):
        Sources(hub=False).split(Dataset("mmlu_anatomy", "cais/mmlu:anatomy"), "dev")


def test_a_dataset_that_nobody_knows(tmp_path):
    """The reader's own: any fields."""
    put(tmp_path, {"mine/test.jsonl": lines({"riddle": "?", "number": 3})})
    assert read(tmp_path, "mine") == [{"riddle": "?", "number": 3}]


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    put(tmp_path, {"gsm8k/test.parquet": b"PAR1"})
    with pytest.raises(DocumentError, match=r"needs pyarrow: pip install 'minillama\[parquet\]'"):
        read(tmp_path, "gsm8k")


def test_an_array_is_read_in_pieces_as_json_reads_it_whole(tmp_path):
    """Whatever the size of values beside that of the pieces, and whatever stands before the array."""
    rng = random.Random(0)
    rows = [{"text": "ü\n" * rng.choice([1, 40_000, 70_000]), "number": [12345] * rng.randrange(9)} for _ in range(20)]
    for indent in (None, 3):
        whole = {"Domain": {"a": [1, 2]}, "Version": 1.0, "Data": rows, "Rest": "not read"}
        path = tmp_path / f"{indent}.json"
        path.write_text(json.dumps(whole, ensure_ascii=False, indent=indent), encoding="utf-8")
        found = list(array_rows(path, "Data"))
        assert [row for _, row in found] == rows
        text = path.read_text(encoding="utf-8").splitlines()
        assert all(text[line - 1].strip().startswith("{") or indent is None for line, _ in found)


def test_files_of_the_authors_that_are_here(shared_data):
    """Real ones: nothing in them is refused."""
    sources = Sources([shared_data / "eval"], hub=False)
    counts = {
        ("piqa", "validation"): 1838,
        ("nq_open", "validation"): 3610,
        ("gsm8k", "test"): 1319,
        ("truthfulqa", "validation"): 790,
    }
    for (name, split), count in counts.items():
        assert len(sources.split(Dataset(name, "some/dataset"), split)) == count
