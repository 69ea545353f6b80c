"""`minillama eval compare` and `contamination` on files that lm-evaluation-harness itself has written."""

import hashlib
import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from minillama.cli.common.given import load_tokenizer_of
from minillama.cli.evaluation import compare, contamination, seeds
from minillama.data.shards.reading import write_shards
from minillama.evaluation.statistics import mcnemar
from minillama.evaluation.statistics.comparison import compare_runs
from minillama.evaluation.statistics.multiplicity import holm
from minillama.evaluation.statistics.saved import line_at, prompt_of, read_run


def sample(i, text=None, **metrics):
    """A sample as the harness's evaluator hands it to its tracker."""
    text = text or f"question {i}"
    return {
        "doc_id": i,
        "doc": {"id": f"Q{i}", "question": text, "choices": {"text": ["yes", "no"], "label": ["A", "B"]}},
        "target": i % 2,
        "arguments": [(f"Question: {text}\nAnswer:", " yes"), (f"Question: {text}\nAnswer:", " no")],
        "resps": [[(-1.0, False)], [(-2.0, False)]],
        "filtered_resps": [(-1.0, False), (-2.0, False)],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": hashlib.sha256(text.encode()).hexdigest(),
        "prompt_hash": hashlib.sha256(b"prompt" + text.encode()).hexdigest(),
        "target_hash": "t",
        **metrics,
    }


@pytest.fixture
def save(tmp_path):
    """Write samples of tasks with the harness's own tracker; returns the folder."""
    loggers = pytest.importorskip("lm_eval.loggers")

    def save(run, /, **tasks):
        tracker = loggers.EvaluationTracker(output_path=str(tmp_path / run))
        tracker.general_config_tracker.model_name_sanitized = "a__model"
        tracker.date_id = "2026-01-31T10-20-30.123456"
        for name, samples in tasks.items():
            tracker.save_results_samples(task_name=name, samples=samples)
        return tmp_path / run

    return save


@pytest.fixture
def run():
    app = typer.Typer()
    compare.register(app)
    contamination.register(app)
    seeds.register(app)
    runner = CliRunner()

    def run(*args):
        return runner.invoke(app, list(map(str, args)), catch_exceptions=False, standalone_mode=False)

    return run


def rights(n, seed, share=0.5):
    return (np.random.default_rng(seed).random(n) < share).astype(float).tolist()


def arc(values, start=0):
    return [sample(i, acc=value, acc_norm=value) for i, value in enumerate(values, start=start)]


def test_runs_of_the_harness_are_compared_by_document(save):
    x, y = rights(120, 0, 0.4), rights(120, 1, 0.7)
    a = read_run(save("a", arc_easy=arc(x)))
    b = read_run(save("b", arc_easy=list(reversed(arc(y)))))  # another order
    first, second = compare_runs(a, b)
    assert (first.task, first.metric, first.found.n) == ("arc_easy", "acc,none", 120)
    only_a, only_b = sum(p > q for p, q in zip(x, y)), sum(q > p for p, q in zip(x, y))
    assert (first.found.only_a, first.found.only_b) == (only_a, only_b)
    assert first.found.p == mcnemar.p_value(only_a, only_b, 120)
    assert [first.p_corrected, second.p_corrected] == holm([first.found.p, second.found.p])
    assert first.verdict == "B is better"
    assert len(first.flips) == only_a + only_b


def test_items_in_one_run_only_are_left_out_and_said(save):
    a = read_run(save("a", piqa=arc([1.0] * 40)))
    b = read_run(save("b", piqa=arc([1.0] * 40, start=10)))
    found = compare_runs(a, b, metrics=["acc"])[0]
    assert (found.found.n, found.only_in_a, found.only_in_b) == (30, 10, 10)
    assert any("10 items that only A has" in sentence for sentence in found.cautions)
    assert found.verdict == "no item differs"


def test_a_document_that_stands_twice_is_matched_in_order(save):
    twice = [sample(0, "same", acc=1.0), sample(1, "same", acc=0.0)]
    found = compare_runs(read_run(save("a", t=twice)), read_run(save("b", t=twice)))[0]
    assert (found.found.n, found.found.n_differing) == (2, 0)


def test_other_prompts_are_said(save):
    others = arc([1.0, 0.0])
    for one in others:
        one["prompt_hash"] = "other"
    found = compare_runs(read_run(save("a", t=arc([1.0, 0.0]))), read_run(save("b", t=others)))[0]
    assert any("2 of 2 items were asked with other prompts" in sentence for sentence in found.cautions)


def test_perplexities_are_better_when_lower(save):
    rng = np.random.default_rng(4)
    words = rng.integers(50, 400, 60)
    ll = -3.0 * words

    def pages(ll):
        values = zip(ll.tolist(), words.tolist())
        return [sample(i, word_perplexity=[a, b], bits_per_byte=[a, 5 * b]) for i, (a, b) in enumerate(values)]

    a = read_run(save("a", wikitext=pages(ll)))
    b = read_run(save("b", wikitext=pages(ll * rng.normal(0.98, 0.01, 60))))
    perplexity, bits = compare_runs(a, b)
    assert perplexity.found.a == pytest.approx(np.exp(3))
    assert bits.found.a == pytest.approx(3 / 5 / np.log(2))
    assert perplexity.found.difference < 0
    assert perplexity.verdict == bits.verdict == "B is better"
    assert any("below 100" in sentence for sentence in perplexity.cautions)


def test_metrics_that_are_not_one_number_an_item_are_left_out_and_said(save, run):
    samples = [sample(i, acc=1.0, f1=[0, 1]) for i in range(6)]
    folder = save("a", t=samples)
    assert list(read_run(folder).tasks["t"].scores) == ["acc,none"]
    assert "6 lines of A have a metric" in run("compare", folder, folder).stderr


def test_the_table_says_what_is_noise(save, run):
    x = rights(60, 2)
    y = [1 - value if i < 7 else value for i, value in enumerate(x)]
    found = run("compare", save("a", arc_easy=arc(x)), save("b", arc_easy=arc(y)), "--metrics", "acc", "--items", 3)
    assert found.exit_code == 0
    row = next(line for line in found.stdout.splitlines() if line.startswith("arc_easy  acc"))
    assert "inside the noise" in row
    assert "7 of 60 items differ" in found.stdout
    assert found.stdout.count("Question: question") == 3
    assert found.stdout.count("--- doc_id") == 3


def test_a_group_is_compared_with_the_items_of_all_its_tasks(save, run):
    names = ["mmlu_anatomy", "mmlu_virology", "mmlu_marketing"]
    groups = {"mmlu": ["mmlu_stem", "mmlu_marketing"], "mmlu_stem": names[:2]}
    paths = []
    for label, share in (("a", 0.3), ("b", 0.6)):
        tasks = {name: arc(rights(30, [ord(label), i], share)) for i, name in enumerate(names)}
        paths.append(save(label, piqa=arc(rights(40, 9)), **tasks))
        folder = next(paths[-1].rglob("samples_*.jsonl")).parent
        (folder / "results_2026-01-31T10-20-30.123456.json").write_text(json.dumps({"group_subtasks": groups}))
    a, b = map(read_run, paths)
    found = {one.task: one for one in compare_runs(a, b, metrics=["acc"])}
    assert {name: one.found.n for name, one in found.items()} == {"mmlu": 90, "mmlu_stem": 60, "piqa": 40}
    assert found["mmlu"].found.only_b == sum(
        compare_runs(a, b, tasks=[name], metrics=["acc"])[0].found.only_b for name in names
    )
    assert "mmlu: the items of its 3 tasks together" in found["mmlu"].cautions[-1]
    shown = run("compare", *paths, "--tasks", "mmlu", "--metrics", "acc", "--items", 2).stdout
    assert "--- mmlu_" in shown


def test_seeds_are_split_by_item(save, run):
    paths = [save(f"seed{i}", t=arc(rights(80, i))) for i in range(3)]
    found = json.loads(run("seeds", *paths, "--json").stdout)
    assert [(one["task"], one["metric"], one["n_items"], one["n_seeds"]) for one in found] == [
        ("t", "acc,none", 80, 3),
        ("t", "acc_norm,none", 80, 3),
    ]
    assert found[0]["by_seed"] == pytest.approx([np.mean(rights(80, i)) for i in range(3)])
    shown = run("seeds", *paths)
    assert "t acc: 80 items under 3 seeds" in shown.stdout
    with pytest.raises(ValueError, match="at least 2 seeds"):
        run("seeds", paths[0])


def test_seeds_are_those_of_one_model(save, run):
    """Two models with the same seed would look like a draw of shots that matters."""
    paths = [save(name, t=arc(rights(20, i))) for i, name in enumerate("ab")]

    def settings(sha256, seed):
        return json.dumps({"model": {"name": "m", "sha256": sha256}, "asking": {"seed": seed}})

    for path, sha256 in zip(paths, "xy"):
        (path / "settings.json").write_text(settings(sha256, 1))
    with pytest.raises(ValueError, match="runs of different models"):
        run("seeds", *paths)
    (paths[1] / "settings.json").write_text(settings("x", 1))
    with pytest.raises(ValueError, match="found --seed 1 more than once"):
        run("seeds", *paths)
    (paths[1] / "settings.json").write_text(settings("x", 2))
    assert "under 2 seeds" in run("seeds", *paths).stdout


def test_a_difference_of_shares_is_a_share(save, run):
    a, b = save("a", t=arc(rights(50, 3))), save("b", t=arc(rights(50, 4)))
    with pytest.raises(ValueError, match=r"0\.02 for 2 points"):
        run("compare", a, b, "--difference", 2)


def test_what_models_wrote_stands_beside_their_flips(save, run):
    def written(text, right):
        return [{**sample(0, exact_match=right), "resps": [[text]], "filtered_resps": [text]}]

    found = run("compare", save("a", t=written("Paris", 1.0)), save("b", t=written("Rome", 0.0)), "--items", 5)
    assert "(A wrote: 'Paris')\n(B wrote: 'Rome')" in found.stdout


def test_of_several_filters_that_of_the_metric_is_shown(save, run):
    """GSM8K's: a line an item and filter, in one file."""

    def generated(i, filter_, said, score):
        return {**sample(i, exact_match=score), "filter": filter_, "filtered_resps": [said]}

    def gsm8k(score):
        strict = [generated(i, "strict-match", "[invalid]", 0.0) for i in range(6)]
        return strict + [generated(i, "flexible-extract", f"{i}", score) for i in range(6)]

    found = run("compare", save("a", gsm8k=gsm8k(0.0)), save("b", gsm8k=gsm8k(1.0)), "--items", 1).stdout
    assert "(A wrote: '0')" in found
    assert "[invalid]" not in found


def test_json_has_the_whole(save, run):
    a, b = save("a", t=arc(rights(50, 3))), save("b", t=arc(rights(50, 4)))
    found = json.loads(run("compare", a, b, "--json", "--metrics", "acc", "--difference", 0.05, "--items", 4).stdout)
    assert len(found) == 1
    assert found[0]["n_needed_for"]["0.05"] > 500
    assert len(found[0]["flips"]) == 4
    assert {"difference", "interval_95", "p", "p_corrected", "verdict"} <= found[0].keys()


def test_one_file_is_enough_and_its_lines_are_found_again(save):
    folder = save("a", mmlu_anatomy=arc([1.0, 0.0, 1.0]))
    file = next(folder.rglob("samples_*.jsonl"))
    task = read_run(file).tasks["mmlu_anatomy"]
    assert prompt_of(line_at(task, list(task.places)[2])) == "Question: question 2\nAnswer:"


def test_the_newest_file_of_a_task_counts(tmp_path):
    line = json.dumps({"doc_hash": "h", "metrics": ["acc"], "acc": 0.0, "filter": "none", "doc_id": 0})
    (tmp_path / "samples_t_2026-01-01T00-00-00.5.jsonl").write_text(line)
    (tmp_path / "samples_t_2026-01-02T00-00-00.5.jsonl").write_text(line.replace("0.0", "1.0"))
    assert read_run(tmp_path).tasks["t"].scores["acc,none"] == {("h", 0): 1.0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2: expected an object, found list"),
        ('{"doc_hash": 3, "metrics": []}', "line 2: expected doc_hash"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "line 2 is not JSON"),
    ],
)
def test_malformed_lines_are_one_sentence(tmp_path, content, words):
    file = tmp_path / "samples_t.jsonl"
    file.write_text(json.dumps({"doc_hash": "h", "metrics": [], "doc_id": 0}) + "\n" + content + "\n", "latin-1")
    with pytest.raises(ValueError, match=words):
        read_run(file)


def test_what_cannot_be_compared_is_one_sentence(save, tmp_path):
    with pytest.raises(ValueError, match="neither a folder"):
        read_run(tmp_path / "nothing")
    a, b = read_run(save("a", t=arc([1.0]))), read_run(save("b", u=arc([1.0])))
    with pytest.raises(ValueError, match=r"no task is in both runs: A has t; B has u"):
        compare_runs(a, b)
    with pytest.raises(ValueError, match="v is not in both runs"):
        compare_runs(a, a, tasks=["v"])
    with pytest.raises(ValueError, match=r"f1 is no metric of t in both runs; they share: acc, acc_norm$"):
        compare_runs(a, a, metrics=["f1"])
    with pytest.raises(ValueError, match="no item"):
        compare_runs(a, read_run(save("c", t=[sample(7, acc=1.0)])))
    save("many/x", t=arc([1.0]))
    save("many/y", t=arc([1.0]))
    with pytest.raises(ValueError, match="holds the results of 2 runs"):
        read_run(tmp_path / "many")


def test_items_in_the_training_texts_are_dirty(save, run, tmp_path):
    known = "The old lighthouse keeper counted seven ships before the storm came and hid the rest of them from his eyes"
    new = "Nobody in the valley had ever seen a machine that could write letters and answer them within the same hour"
    samples = [sample(0, known, acc=1.0), sample(1, new, acc=0.0)]
    (tmp_path / "training.txt").write_text(f"Once upon a time. {known}. And so it went on for a while.")
    folder = save("a", t=samples)
    found = run("contamination", folder, "--against", tmp_path / "training.txt", "--model", "stories3M", "--json",
                "--fields", "question")  # fmt: skip
    table = json.loads(found.stdout)[0]
    assert [(row["name"], row["n"], row["mean"]) for row in table["subsets"]] == [
        ("clean", 1, 0.0),
        ("not clean", 1, 1.0),
        ("not dirty", 1, 0.0),
        ("dirty", 1, 1.0),
    ]
    assert "1 of 1 training documents share 13 words in a row" in found.stderr
    shown = run("contamination", folder, "--against", tmp_path / "training.txt", "--model", "stories3M").stdout
    assert [line.split()[0] for line in shown.splitlines()[2:6]] == ["clean", "not", "not", "dirty"]
    assert "no evidence" in shown


def test_shards_are_training_texts_too(save, run, tmp_path):
    known = "The old lighthouse keeper counted seven ships before the storm came and hid the rest of them from his eyes"
    tokenizer = load_tokenizer_of("stories3M", None)
    write_shards([f"Once. {known}"], tokenizer, tmp_path / "shards")
    folder = save("a", t=[sample(0, known, acc=1.0)])
    given = ["contamination", folder, "--against", tmp_path / "shards", "--json", "--fields", " question "]
    assert json.loads(run(*given, "--model", "stories3M").stdout)[0]["subsets"][3]["n"] == 1


def test_the_same_caution_of_many_is_one_sentence():
    same = [f"mmlu_{i} acc: no item differs" for i in range(6)]
    assert compare._together([*same, "piqa acc: other: words", same[0]]) == [
        "mmlu_0 acc, mmlu_1 acc, mmlu_2 acc, mmlu_3 acc and 2 more: no item differs",
        "piqa acc: other: words",
    ]
