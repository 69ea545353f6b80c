"""lm-evaluation-harness drives minillama: its own tasks, on rows written by hand, with the model that ships inside.

What the harness makes of the answers is compared with what it makes of those of its own model on the same weights.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minillama
from minillama.evaluation import harness

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's and its libraries' own
lm_eval = pytest.importorskip("lm_eval")
HAND_MADE = Path(__file__).parent / "hand_made"
QUIET = {"bootstrap_iters": 0, "log_samples": True}


@pytest.fixture(scope="module")
def lm():
    from minillama.evaluation.harness import MinillamaLM

    return MinillamaLM(minillama.load("stories3M", exact=True))


@pytest.fixture(scope="module")
def manager():
    from lm_eval.tasks import TaskManager

    folders = [Path(lm_eval.tasks.__file__).parent / name for name in ("super_glue/boolq", "nq_open", "wikitext")]
    return TaskManager(include_path=folders, include_defaults=False)  # of all tasks it reads 12,000 files


def task(manager, name, files, **changes):
    """One of the harness's tasks on local files, with other settings where `changes` has them."""
    data = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    for split in ("training_split", "validation_split", "test_split"):
        named = {"training_split": "train", "validation_split": "validation", "test_split": "test"}[split]
        changes.setdefault(split, named if named in files else None)
    entry = manager._entry(name)
    return manager._factory.build(entry, overrides={**data, **changes}, registry=manager._index)


def boolq(manager, **changes):
    files = {split: str(HAND_MADE / f"boolq_{split}.jsonl") for split in ("validation", "train")}
    return task(manager, "boolq", files, **changes)


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def requests_of(*arguments):
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, pair, 0) for pair in arguments]


def test_choices_are_those_of_transformers(lm, manager, tmp_path):
    """Log-likelihoods, decisions and hashes beside the harness's own model on the same file."""
    from minillama.checkpoints.hub import fetch

    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from lm_eval.models.huggingface import HFLM

    path = fetch("stories3M")
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    found = []
    text = requests_of(("Once upon a time there was a red ball. The ball was big.",))
    assert lm.loglikelihood_rolling(text) == pytest.approx(theirs.loglikelihood_rolling(text), rel=1e-4)
    asked = requests_of(("Once upon a time", {"until": ["."], "max_gen_toks": 20}))
    assert lm.generate_until(asked) == theirs.generate_until(asked)
    for model in (lm, theirs):
        results = lm_eval.simple_evaluate(
            model=model, tasks=[boolq(manager)], num_fewshot=2, limit=8, task_manager=manager, **QUIET
        )
        found.append(results["samples"]["boolq"])
    assert len(found[0]) == 8
    for ours, other in zip(*found):
        assert (ours["prompt_hash"], ours["doc_hash"]) == (other["prompt_hash"], other["doc_hash"])
        ours, other = ([resps[0][0] for resps in sample["resps"]] for sample in (ours, other))
        assert ours == pytest.approx(other, abs=2e-3)


def test_generation_and_rolling_text(lm, manager, tmp_path):
    """Answers end before their stop texts; perplexities are those of `llm.logprobs`."""
    rows = [{"question": "Who is Lily", "answer": ["a girl"]}, {"question": "Where is the ball", "answer": ["there"]}]
    nq = task(manager, "nq_open", {"validation": written(tmp_path / "nq.jsonl", rows)})
    page = {"page": " = The ball = \n \n Once there was a ball . It was red . \n"}
    text = task(manager, "wikitext", {"test": written(tmp_path / "wiki.jsonl", [page])})
    results = lm_eval.simple_evaluate(model=lm, tasks=[nq, text], num_fewshot=0, task_manager=manager, **QUIET)
    answers = [sample["resps"][0][0] for sample in results["samples"]["nq_open"]]
    prompt = "Answer these questions:\n\nQ: Who is Lily?\nA:"
    expected = lm.llm.generate(prompt, max_tokens=256, temperature=0, stop=["\n", ".", ","]).text
    assert answers[0] == expected.removeprefix(" ")  # decoded alone, as the harness does it
    assert not any(stop in answer for stop in "\n.," for answer in answers)
    scored = results["samples"]["wikitext"][0]
    shown = scored["arguments"][0][0]
    ids = lm.llm.tokenizer.encode(shown)  # with BOS, which the harness puts after another
    expected = lm.llm.logprobs([lm.llm.tokenizer.bos_id], ids).sum()
    assert scored["resps"][0][0] == pytest.approx(float(expected), abs=2e-2)
    assert results["results"]["wikitext"]["word_perplexity,none"] > 1


def test_what_cannot_be_scored_does_not_end_the_run(lm, caplog):
    """An empty continuation and one that leaves no token: -inf, which no argmax takes, and one warning."""
    with caplog.at_level(logging.WARNING):
        found = lm.loglikelihood(requests_of(("Once", ""), ("Once upon", " a time"), ("   ", "x")), disable_tqdm=True)
    assert found[0] == (float("-inf"), False)
    assert -50 < found[1][0] < 0
    assert "requests cannot be asked and count as wrong; the first is request 0: the continuation ''" in caplog.text
    assert lm.generate_until(requests_of(("", {"until": ["."]})), disable_tqdm=True) == [""] or lm.llm.tokenizer.bos_id


def test_answers_are_kept_by_the_harness(lm, manager, tmp_path):
    """`--use_cache`: a second run asks nothing."""
    settings = {"tasks": [boolq(manager)], "limit": 3, "use_cache": str(tmp_path / "kept"), "task_manager": manager}
    first = lm_eval.simple_evaluate(model=lm, **settings, **QUIET)
    ask, lm.engine.ask = lm.engine.ask, None
    try:
        second = lm_eval.simple_evaluate(model=lm, **{**settings, "tasks": [boolq(manager)]}, **QUIET)
    finally:
        lm.engine.ask = ask
    assert first["results"]["boolq"] == second["results"]["boolq"]


def test_chat_is_rendered_as_transformers_does(smollm2, smollm2_path):
    """The model's own template, as text; a prefix of the answer stays open."""
    from minillama.evaluation.harness import MinillamaLM

    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(smollm2_path.parent, gguf_file=smollm2_path.name)
    theirs.chat_template = theirs.chat_template or smollm2.tokenizer.chat_template
    lm = MinillamaLM(smollm2)
    turns = [
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3?"},
    ]
    system = [{"role": "system", "content": "Count."}]
    for messages in (turns, system + turns, turns[:1]):
        expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert lm.apply_chat_template(messages) == expected
    open_answer = theirs.apply_chat_template(turns[:2], tokenize=False, continue_final_message=True)
    assert lm.apply_chat_template(turns[:2], add_generation_prompt=False) == open_answer
    assert lm.chat_template(True) == smollm2.tokenizer.chat_template
    assert lm.chat_template(False) is None
    assert lm.tokenizer_name


def test_a_model_without_a_chat_template(lm):
    with pytest.raises(ValueError, match="chat template"):
        lm.apply_chat_template([{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give one model: MinillamaLM\\(llm\\), or pretrained=NAME"),
        ({"pretrained": "stories3M", "thread": 2}, "no model argument 'thread': did you mean threads"),
        ({"pretrained": "stories3M", "batch_size": "many"}, "batch_size must be a whole number or auto"),
        ({"pretrained": "stories3M", "max_length": 100_000}, "reads"),
        ({"pretrained": "no-such-model"}, "no-such-model"),
    ],
)
def test_arguments(arguments, said):
    from minillama.evaluation.harness import MinillamaLM

    with pytest.raises(ValueError, match=said):
        MinillamaLM(**arguments)


def test_settings_of_generation():
    from minillama.evaluation.common.requests import Generation
    from minillama.evaluation.harness.model import generation_of

    assert generation_of("a", {"until": "\n"}) == Generation("a", ("\n",), 256)
    assert generation_of("a", {"until": ["b", ""], "max_new_tokens": 3, "do_sample": False}) == Generation(
        "a", ("b",), 3
    )
    assert (
        generation_of("a", {"max_gen_toks": 5, "max_tokens": 9, "do_sample": True, "temperature": 0.0}).max_tokens == 5
    )
    with pytest.raises(ValueError, match="greedily, and the task asks for sampling"):
        generation_of("a", {"do_sample": True, "temperature": 0.8})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_line(tmp_path):
    """`python -m minillama.evaluation.harness`: the harness's own, with --model minillama. It looks for all tasks."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "hand.yaml").write_text(
        "task: hand\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    test: {HAND_MADE / 'boolq_validation.jsonl'}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{question}}?'\ndoc_to_target: label\n"
        "doc_to_choice: ['no', 'yes']\nmetric_list:\n  - metric: acc\n"
    )
    command = [sys.executable, "-m", "minillama.evaluation.harness", "run", "--model", "minillama"]
    command += ["--model_args", "pretrained=stories3M,threads=1", "--tasks", "hand", "--limit", "4"]
    command += ["--include_path", str(folder), "--output_path", str(tmp_path / "out"), "--log_samples"]
    settings = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    settings["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "hand" in done.stdout
    (results,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(results.read_text())
    assert 0 <= found["results"]["hand"]["acc,none"] <= 1
    assert found["config"]["model"] == "minillama"
    (samples,) = (tmp_path / "out").rglob("samples_hand_*.jsonl")
    assert len(samples.read_text().splitlines()) == 4


def test_without_the_harness(monkeypatch):
    """Importing is harmless; using says in one sentence what to install."""
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    for use in (harness.register, lambda: harness.MinillamaLM):
        with pytest.raises(
            ImportError, match="needs lm-evaluation-harness, which is not installed: pip install lm-eval"
        ):
            use()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harness.nothing  # noqa: B018


def test_registered_once():
    from lm_eval.api.registry import get_model

    harness.register()
    harness.register()
    assert get_model("minillama").__name__ == "MinillamaLM"
