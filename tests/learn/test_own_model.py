"""A real model on the learner's functions: the same text when they are right, the place of the error when not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import minillama
from minillama.cli.commands import app
from minillama.config import ModelConfig
from minillama.learn.chapters.catalogue import catalogue
from minillama.learn.workspace.folder import WorkspaceError, find_workspace, start
from minillama.learn.workspace.own_model import Tracer, own_ops, put_into
from minillama.llm import LLM
from minillama.ops import FAST, REFERENCE
from minillama.params import init_params, named_arrays
from minillama.training.gradients import loss_and_gradients

OPS = [exercise.id for exercise in catalogue().values() if exercise.replaces is not None]
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def llm():
    return minillama.load("smollm2-135m-instruct")


def text_on(llm, ops, n=8):
    session = LLM(llm.params, llm.config, None, ops=ops).session()
    return llm.generate(PROMPT, max_tokens=n, temperature=0, session=session).text


def test_there_is_an_exercise_for_every_operation(solved):
    own = own_ops(find_workspace(solved))
    assert set(own.used) >= {"rmsnorm_forward", "rope_forward", "attention_forward", "swiglu_forward"}
    assert not own.left_out


def test_the_solved_set_gives_the_same_text(solved, llm):
    expected = llm.generate(PROMPT, max_tokens=8, temperature=0).text
    assert text_on(llm, own_ops(find_workspace(solved)).ops) == expected
    model = ["--model", "smollm2-135m-instruct"]
    arguments = ["generate", "--with", str(solved), PROMPT, "-n", "8", "--temperature", "0", *model]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.stdout.rstrip("\n") == expected.rstrip("\n")
    for words in ("rope_forward       is your rope_interleaved", "tokens/s: yours", "reference", "fast"):
        assert words in result.stderr


@pytest.mark.parametrize("id", OPS)
def test_every_single_replacement_gives_the_same_text(solved, llm, id):
    own = own_ops(find_workspace(solved), only=id)
    assert set(own.used.values()) == {id}
    assert text_on(llm, own.ops) == text_on(llm, FAST)


@pytest.mark.parametrize("id", OPS)
def test_a_wrong_function_is_traced_to_its_first_place(solved, llm, id):
    exercise = catalogue()[id]
    own = own_ops(find_workspace(solved), only=id)
    good = getattr(put_into(FAST, exercise, exercise.reference), f"{exercise.replaces}_forward")
    at = 0 if "embedding_forward" in own.used else 2  # the embedding sees the prompt once only
    calls = {"n": -1}

    def late(*args):
        """Right but for one call, which is off by a factor from the second position on."""
        calls["n"] += 1
        y, saved = good(*args)
        y = np.array(y)
        if calls["n"] == at:
            y[(slice(None), slice(None), slice(1, None)) if y.ndim == 4 else (slice(None), slice(1, None))] *= 1.5
        return y, saved

    (entry,) = own.used
    own.ops = FAST._replace(**{entry: late})
    tracer = Tracer(own, llm.params)
    text_on(llm, tracer.ops, n=2)
    found = tracer.found
    assert (found.entry, found.call, found.position) == (entry, at, 1)
    per_layer = {"rmsnorm_forward": 2, "linear_forward": 7, "rope_forward": 2}.get(entry, 1)
    assert found.layer == (2 // per_layer if at else None)
    assert id in found.text


def test_a_trace_in_a_model_with_norms_of_queries_and_keys(solved):
    config = ModelConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=8, vocab_size=9, max_seq_len=8, qk_norm=True)
    llm = LLM(init_params(config, np.random.default_rng(0)), config, None)
    own = own_ops(find_workspace(solved), only="rope_interleaved")
    calls = iter(range(99))

    def late(*args):
        y, saved = FAST.rope_forward(*args)
        return (2 * y if next(calls) == 3 else y), saved

    own.ops = FAST._replace(rope_forward=late)
    tracer = Tracer(own, llm.params)
    llm.use_ops(tracer.ops)
    llm.session().feed([1, 2, 3])
    assert "in layer 1 (keys)" in tracer.found.text


def test_right_functions_leave_no_trace(solved, llm):
    tracer = Tracer(own_ops(find_workspace(solved)), llm.params)
    text_on(llm, tracer.ops, n=3)
    assert tracer.found is None


def test_what_does_not_pass_is_left_out_unless_asked_for(solved, tmp_path):
    start(tmp_path / "new")
    with pytest.raises(WorkspaceError, match="none of your functions can run the model yet"):
        own_ops(find_workspace(tmp_path / "new"))
    path = tmp_path / "new" / "05_rope.py"
    text = (solved / "05_rope.py").read_text()
    path.write_text(text.replace("even * c - odd * s", "even * c + odd * s"))
    with pytest.raises(WorkspaceError, match="rope_interleaved: does not pass its check"):
        own_ops(find_workspace(tmp_path / "new"))
    assert own_ops(find_workspace(tmp_path / "new"), unchecked=True).used == {"rope_forward": "rope_interleaved"}
    with pytest.raises(WorkspaceError, match="rope_half is not part of a running model"):
        own_ops(find_workspace(solved), only="rope_half")


def test_a_trace_names_the_check_to_run(solved, tmp_path):
    shutil.copytree(solved, tmp_path / "mine")
    path = tmp_path / "mine" / "04_rmsnorm.py"
    path.write_text(path.read_text().replace("return x / np.sqrt(mean_square + eps) * weight", "return x * weight"))
    only = ["--with", str(tmp_path / "mine"), "--unchecked", "--only", "rmsnorm_forward", "--trace"]
    found = CliRunner().invoke(app, ["generate", "Once", "-n", "2", "-q", *only], catch_exceptions=False)
    assert "rmsnorm_forward leaves the reference in layer 0 (before attention)" in found.stderr
    assert found.stderr.rstrip().endswith("next: minillama learn check rmsnorm_forward")


def test_options_that_need_with():
    result = CliRunner().invoke(app, ["generate", "--trace", "x"])
    assert "go with --with" in str(result.exception)


def test_a_loop_without_end_is_stopped_and_named_while_the_others_are_checked(solved, tmp_path, monkeypatch):
    from minillama.learn.workspace import checker

    shutil.copytree(solved, tmp_path / "mine")
    path = tmp_path / "mine" / "05_rope.py"
    path.write_text(path.read_text().replace("    even, odd = x", "    while True:\n        pass\n    even, odd = x"))
    started = []
    start_process = checker._start
    monkeypatch.setattr(checker, "SECONDS", 5.0)
    monkeypatch.setattr(checker, "_start", lambda: started.append(1) or start_process())
    own = own_ops(find_workspace(tmp_path / "mine"))
    assert own.left_out == {"rope_interleaved": "takes too long, and was stopped"}
    assert set(own.used) == {f"{name}_forward" for name in ("linear", "embedding", "rmsnorm", "attention", "swiglu")}
    assert len(started) == 2, "one process for all, and one after the loop"


def test_a_file_is_loaded_once(tmp_path):
    from minillama.learn.workspace.checker import Checker

    start(tmp_path / "mine")
    workspace = find_workspace(tmp_path / "mine")
    path = workspace.path_of("rope_half")
    path.write_text(path.read_text() + '\nprint("loading")\n')
    checker = Checker()
    try:
        reports = [checker.check(catalogue()[id], path) for id in ("rope_half", "rope_interleaved")]
    finally:
        checker.close()
    assert [dict(report.facts).get("printed") for report in reports] == ["loading", None]


@pytest.mark.parametrize("id", OPS)
def test_a_model_on_own_functions_trains(id, rng):
    """The function leaves nothing for the way back: the gradients are those of the reference."""
    config = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=11, max_seq_len=8)
    params, tokens = init_params(config, rng), rng.integers(0, 11, (2, 8))
    exercise = catalogue()[id]
    ops = put_into(REFERENCE, exercise, exercise.reference)
    found = loss_and_gradients(params, config, tokens, tokens, ops=ops)
    expected = loss_and_gradients(params, config, tokens, tokens, ops=REFERENCE)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for (name, a), (_, b) in zip(named_arrays(found[1]), named_arrays(expected[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(b).max(), err_msg=name)


def test_prints_are_no_part_of_the_answer_and_a_long_loop_is_named(tmp_path, monkeypatch):
    from minillama.cli import own

    monkeypatch.setattr(own, "_PATIENCE", 0.2)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "minillama" / "tests"))
    monkeypatch.setenv("MINILLAMA_HOME", str(tmp_path))
    start(tmp_path / "mine")
    (tmp_path / "mine" / "04_rmsnorm.py").write_text(
        "import time\nimport numpy as np\n\nprint('loaded')\nbegin = time.monotonic()\n\n\n"
        "def rmsnorm_forward(x, weight, eps):\n    print('called')\n    while time.monotonic() < begin + 1:\n"
        "        pass\n    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight\n"
    )
    arguments = ["generate", "Once", "-n", "2", "-t", "0", "-q"]
    expected = CliRunner().invoke(app, arguments).stdout
    only = ["--with", str(tmp_path / "mine"), "--unchecked", "--only", "rmsnorm_forward"]
    found = CliRunner().invoke(app, [*arguments, *only], catch_exceptions=False)
    assert found.stdout == expected
    assert "loaded" in found.stderr
    assert "called" in found.stderr
    assert found.stderr.count("more than 0.2 seconds, now rmsnorm_forward in line 1") == 1
    assert "Ctrl-C stops a loop without end" in found.stderr
