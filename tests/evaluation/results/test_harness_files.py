"""The files are lm-evaluation-harness's: its own functions read them, and its tracker writes the same keys."""

import json

import pytest
from lm_eval.loggers.evaluation_tracker import EvaluationTracker
from lm_eval.loggers.trackio_logger import _sample_to_trace
from lm_eval.loggers.wandb_logger import WandbLogger
from lm_eval.utils import (
    get_file_datetime,
    get_file_task_name,
    get_results_filenames,
    get_sample_results_filenames,
    hash_string,
    make_table,
)
from made_results import MARKUP, made_evaluation

from minillama.evaluation.results.folder import ResultsFolder
from minillama.evaluation.results.harness_files import harness_results
from minillama.evaluation.results.samples import samples_of


@pytest.fixture(scope="module")
def evaluation():
    return made_evaluation()


@pytest.fixture(scope="module")
def folder(evaluation, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "made"
    folder = ResultsFolder(path)
    with folder.begun(evaluation.settings):
        folder.write(evaluation)
    return path


def read_samples(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_its_table_shows_our_numbers(evaluation, folder):
    results = json.loads(next(folder.glob("results_*.json")).read_text())
    table = make_table(results)
    score = evaluation["arc_easy"].scores["acc,none"]
    assert f"{score.value:.4f}" in table
    assert f"{score.stderr:.4f}" in table
    assert "flexible-extract" in table
    assert "word_perplexity" in table
    assert "N/A" in table  # perplexities have no standard error


def test_groups_that_lack_members_are_not_its_groups(folder):
    results = json.loads(next(folder.glob("results_*.json")).read_text())
    assert "groups" not in results
    assert "mmlu" not in results["results"]


def test_its_functions_find_the_files(folder):
    names = [str(path) for path in folder.iterdir()]
    (results,) = get_results_filenames(names)
    samples = get_sample_results_filenames(names)
    assert sorted(get_file_task_name(name.rpartition("/")[2]) for name in samples) == sorted(
        ["arc_easy", "gsm8k_cot", "wikitext", "mmlu_anatomy", "mmlu_virology"]
    )
    assert get_file_datetime(results) == "2026-01-02T03-04-05.678.json"
    assert {get_file_datetime(name) for name in samples} == {"2026-01-02T03-04-05.678"}


def test_samples_have_the_keys_that_its_tracker_writes(folder, tmp_path):
    ours = read_samples(next(folder.glob("samples_arc_easy_*")))[0]
    in_memory = {
        **{key: ours[key] for key in ("doc_id", "doc", "target", "filter", "metrics", "acc", "acc_norm", "acc_bytes")},
        **{key: ours[key] for key in ("doc_hash", "prompt_hash", "target_hash")},
        "arguments": [tuple(arguments.values()) for arguments in ours["arguments"].values()],
        "resps": [[(float(one[0][0]), one[0][1] == "True")] for one in ours["resps"]],
        "filtered_resps": [(float(one[0]), one[1] == "True") for one in ours["filtered_resps"]],
    }
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "made"
    tracker.date_id = "now"
    tracker.save_results_samples("arc_easy", [in_memory])
    (theirs,) = read_samples(tmp_path / "made" / "samples_arc_easy_now.jsonl")
    assert theirs == {key: value for key, value in ours.items() if key in theirs}
    assert set(ours) - set(theirs) == {"problem", "truncated", "options"}


def test_every_filter_has_its_lines(evaluation, folder):
    samples = read_samples(next(folder.glob("samples_gsm8k_cot_*")))
    assert [sample["filter"] for sample in samples] == ["strict-match"] * 12 + ["flexible-extract"] * 12
    strict, flexible = samples[0], samples[12]
    assert strict["resps"] == flexible["resps"]
    assert strict["filtered_resps"] == ["[invalid]"] or strict["filtered_resps"][0].isdigit()
    assert flexible["filtered_resps"][0] in ("1", "2", "3", "1.", "2.", "3.")
    hashes = "".join(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"] for sample in samples)
    results = json.loads(next(folder.glob("results_*.json")).read_text())
    assert results["task_hashes"]["gsm8k_cot"] == hash_string(hashes)


def test_an_item_without_a_score_says_why(folder):
    sample = read_samples(next(folder.glob("samples_arc_easy_*")))[3]
    assert sample["acc"] is None
    assert "leaves no token" in sample["problem"]
    assert sample["options"][0]["logprob"] is None
    assert sample["options"][1]["per_character"] == pytest.approx(
        sample["options"][1]["logprob"] / len("the number 3 x")
    )


def test_its_loggers_read_the_samples(evaluation):
    """Those of Weights & Biases and Trackio, in the form that they get in memory."""
    configs = harness_results(evaluation)["configs"]
    for name, result in evaluation.results.items():
        samples = [sample for sample in samples_of(result.task, result.items) if sample["problem"] is None]
        for sample in samples:
            sample["arguments"] = [tuple(arguments.values()) for arguments in sample["arguments"].values()]
        frame = WandbLogger._generate_dataset(WandbLogger.__new__(WandbLogger), samples, configs[name])
        assert len(frame) == len(samples)
        traced = _sample_to_trace(Traces, samples[0], name, configs[name]["output_type"])
        assert traced["metadata"]["target"] == samples[0]["target"]


class Traces:
    """Stands for the trackio module, which is not installed."""

    @staticmethod
    def Trace(**values):
        return values


def test_texts_survive(folder):
    sample = read_samples(next(folder.glob("samples_arc_easy_*")))[0]
    assert MARKUP in sample["doc"]["question"]
    assert MARKUP in sample["arguments"]["gen_args_0"]["arg_0"]
