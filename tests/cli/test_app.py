"""The command line: what goes to stdout, what to stderr, exit codes, errors in one sentence."""

import io
import json
import re
import subprocess
import sys

import pytest

from minillama.cli.app import main
from minillama.cli.timed import Timed
from minillama.llm import LLM


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process; stdin is a pipe with `stdin` in it."""

    def run(*args, stdin=""):
        monkeypatch.setattr(sys, "argv", ["minillama", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Result(stop.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def stories(shared_data):
    folder = shared_data / "stories260K"
    return ["--model", folder / "stories260K.bin", "--tokenizer", folder / "tok512.model"]


GREEDY = ["--temperature", "0"]
BEGINNING = "Once upon a time, there was a little girl named Lily."


def test_only_the_text_goes_to_stdout(run, stories):
    result = run("generate", "Once", *stories, *GREEDY, "-n", 5)
    assert (result.code, result.out) == (0, " upon a time, there\n")
    assert "tokens/s" in result.err
    assert "stopped at --max-tokens" in result.err
    assert run("generate", "Once", *stories, *GREEDY, "-n", 5, "-q").err == ""


def test_without_a_command_the_commands_are_shown_once(run):
    result = run()
    assert (result.code, result.err) == (0, "")
    assert result.out.count("Talk with a chat model") == 1
    assert run("data").code == 2  # which of them is not said


@pytest.mark.parametrize(("n", "said"), [(0, "0 tokens"), (1, "1 token"), (2, r"2 tokens at [\d.]+ tokens/s")])
def test_a_rate_is_shown_only_for_what_was_timed(run, stories, n, said):
    """The first token needs no pass through the model after the prompt's, which for no text is BOS alone."""
    result = run("generate", "", *stories, *GREEDY, "-n", n)
    assert re.search(rf"^prompt 1 token in \d\.\d\d s; {said}; stopped at --max-tokens", result.err, re.M)


def test_the_rate_is_of_the_passes_that_were_timed(stories260k, capsys):
    stops = stories260k.generate("Once", max_tokens=9, temperature=0).ids
    ended = LLM(stories260k.params, stories260k.config, stories260k.tokenizer, stop_ids=stops[8:])
    for llm, n_tokens, n_passes in ((stories260k, 9, 8), (ended, 8, 8)):  # an end is computed, but is no token
        timed = Timed(lambda llm=llm: llm.stream("Once", max_tokens=9, temperature=0))
        timed.show()
        timed.seconds = 2.0
        assert f"; {n_tokens} tokens at {n_passes / 2:.1f} tokens/s" in timed.figures()
    assert capsys.readouterr().out


@pytest.mark.parametrize("how", ["argument", "option", "pipe", "dash"])
def test_ways_to_give_the_text(run, stories, how):
    options = [*stories, *GREEDY, "-n", 20, "--echo"]
    result = {
        "argument": lambda: run("generate", "Once upon", *options),
        "option": lambda: run("generate", "--prompt", "Once upon", *options),
        "pipe": lambda: run("generate", *options, stdin="Once upon\n"),
        "dash": lambda: run("generate", "-", *options, stdin="Once upon\n"),
    }[how]()
    assert (result.code, result.out.startswith("Once upon a time, there was a")) == (0, True)


@pytest.mark.parametrize("ops", ["reference", "fast"])
def test_both_tables_of_operations(run, stories, ops):
    assert run("generate", "", *stories, *GREEDY, "-n", 25, "--ops", ops).out.startswith(BEGINNING[:40])


def test_options_reach_the_sampler(run, stories):
    sampled = lambda *options: run("generate", "", *stories, "-n", 30, "-t", 2, "--top-p", 1, *options).out
    assert sampled("--seed", 1) == sampled("--seed", 1) != sampled("--seed", 2)
    greedy = run("generate", "", *stories, *GREEDY, "-n", 30).out
    assert sampled("--top-k", 1) == greedy
    assert sampled("--min-p", 1) == greedy
    assert run("generate", "", *stories, *GREEDY, "-n", 60, "--repetition-penalty", 1.5).out[60:] != greedy[60:]
    assert run("generate", "", *stories, *GREEDY, "--stop", " little").out == "Once upon a time, there was a\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["generate", "Hi", "--model", "nothing.gguf"], 1, "nothing.gguf"),
        (["generate", "Hi", "--model", "smollm2-135"], 1, "smollm2-135m-instruct"),
        (["generate", "Hi", "--prompt", "Ho"], 1, "given twice"),
        (["generate", "Hi", "--temperature", "-1"], 1, "temperature must be 0 (greedy) or more, got -1"),
        (["generate", "Hi", "--top-p", "2"], 1, "top_p must be between 0 and 1"),
        (["generate", "Hi", "--top-k", "-1"], 1, "top_k must be a whole number, 0 (off) or more, got -1"),
        (["generate", "Hi", "-t", "nan"], 1, "temperature must be 0 (greedy) or more, got nan"),
        (["generate", "Hi", "--seed", "-1"], 1, "seed must be a whole number, 0 or more, or None"),
        (["chat", "Hi", "--seed", "-1"], 1, "seed must be a whole number, 0 or more, or None"),
        (["generate", "Hi", "-n", "-2"], 1, "max_tokens must be a whole number, 0 or more, or None"),
        (["generate", "Hi", "--stop", ""], 1, "a stop string must not be empty"),
        (["generate", "Hi", "--tempreature", "1"], 2, "--temperature"),
        (["generate", "Hi", "--ops", "quick"], 2, "quick"),
        (["info", "8B"], 1, "sizes: 7B, 13B, 34B, 70B"),
        (["info", "nonsuch"], 1, "nor a model (see minillama models)"),
        (["info", "~nobodyatall/x"], 1, "'~nobodyatall/x' is neither a file"),
        (["generate", "Hi", "--model", "~nobodyatall/x"], 1, "'~nobodyatall/x' is not a file"),
        (["pull", "smolm2-135m-instruct"], 1, "smollm2-135m-instruct"),
        (["tokenize", "--decode", "1 two"], 1, "'two' is not a token id"),
        (["frobnicate"], 2, "frobnicate"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else None,
)
def test_errors_are_one_sentence(run, args, code, message):
    result = run(*args)
    assert result.code == code
    assert message in result.err
    assert result.out == ""
    assert "Traceback" not in result.err


def test_a_damaged_file_names_itself(run, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(30))
    result = run("info", tmp_path / "model.gguf")
    assert result.code == 1
    assert "model.gguf" in result.err
    (tmp_path / "model.bin").write_bytes(b"hello")
    assert run("generate", "x", "--model", tmp_path / "model.bin").code == 1


def test_info_of_a_size_needs_no_weights(run):
    result = run("info", "70B")
    assert result.code == 0
    for expected in ("68,976,648,192", "327,680 bytes per token", "8× smaller", "1.25 GiB at 4,096", "28672 ×   8192"):
        assert expected in result.out
    numbers = json.loads(run("info", "70B", "--json").out)
    assert numbers["parameters"] == 68_976_648_192
    assert numbers["kv_cache"] == {
        "bytes_per_token": 327_680,
        "bytes_at_context": 327_680 * 4096,
        "saving_over_mha": 8,
    }
    assert numbers["shapes"]["layer"]["wk"] == [1024, 8192]


def test_info_of_a_file(run, stories):
    result = run("info", stories[1])
    assert "llama2.c v0" in result.out
    assert "260,032" in result.out
    assert "F32        47 tensors" in result.out
    assert json.loads(run("info", stories[1], "--json").out)["config"]["n_kv_heads"] == 4


def test_tokenize(run, stories):
    tokenizer = stories[2:]
    result = run("tokenize", "Once upon", *stories)
    assert [line.split()[0] for line in result.out.splitlines()] == ["1", "403", "407"]
    assert run("tokenize", "Once upon", *tokenizer, "--ids").out == "1 403 407\n"
    assert run("tokenize", "Once upon", *tokenizer, "--ids", "--no-bos").out == "403 407\n"
    assert run("tokenize", "403, 407", *tokenizer, "--decode").out == "Once upon\n"
    assert "1" not in run("tokenize", "<s>", *tokenizer, "--ids", "--no-bos").out.split()
    assert run("tokenize", "<s>", *tokenizer, "--ids", "--no-bos", "--special").out == "1\n"


def test_models_lists_what_is_known(run):
    result = run("models")
    assert result.code == 0
    names = [line.split()[0] for line in result.out.splitlines()]
    assert {"smollm2-135m-instruct", "stories15M", "tinyllama-1.1b-chat", "llama-2-7b"} <= set(names)


def test_doctor(run):
    result = run("doctor")
    assert result.code == 0, result.out
    assert all(word in result.out for word in ("Python", "numba", "CPU", "threading layer", "model cache", "torch"))


@pytest.mark.parametrize("target", ["out.gguf", "OUT.GGUF", "out.bin", "s.Bin", "folder", "SmolLM2-1.7B", "v1.0", "hf"])
def test_convert_keeps_the_story(run, stories, target, tmp_path):
    options = ["--format", "huggingface"] if target == "hf" else []
    result = run("convert", stories[1], tmp_path / target, *stories[2:], *options)
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == str(tmp_path / target)
    assert (tmp_path / target).is_file() == target.lower().endswith((".gguf", ".bin"))
    text = run("generate", "", "--model", tmp_path / target, *GREEDY, "-n", 60).out
    assert text.startswith(BEGINNING)
    again = run("convert", stories[1], tmp_path / target, *stories[2:], *options)
    assert again.code == 1
    assert "exists; give --force" in again.err
    assert run("convert", stories[1], tmp_path / target, *stories[2:], *options, "--force").code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["out.gguf", "--to", "Q9"], "cannot write the precision 'Q9'; possible: F32, F16, BF16, Q8_0"),
        (["out.gguf", "--to", "Q6_K"], "cannot write the precision 'Q6_K'"),
        (["out.bin", "--to", "F16"], "llama2.c holds float32"),
        (["out.foo"], "a target ends in .gguf or .bin (llama2.c), not .foo, or is a folder"),
        (["model.safetensors"], "not .safetensors"),
        (["model.gguf.gz"], "not .gz"),
        (["folder", "--format", "tar"], "a folder can be minillama or huggingface"),
        (["hf", "--format", "huggingface", "--to", "Q8_0"], "holds F32, F16 or BF16"),
    ],
)
def test_convert_says_what_is_possible(run, stories, args, message, tmp_path):
    result = run("convert", stories[1], tmp_path / args[0], *args[1:])
    assert result.code == 1
    assert message in result.err
    assert not (tmp_path / args[0]).exists()


def test_convert_takes_a_file_for_a_file_and_a_folder_for_a_folder(run, stories, tmp_path):
    for name in ("a.gguf", "b.foo"):
        (tmp_path / name).mkdir()
    (tmp_path / "c").write_text("")
    assert "a.gguf is a folder" in run("convert", *stories[1:2], tmp_path / "a.gguf", "--force").err
    assert "c is a file" in run("convert", *stories[1:2], tmp_path / "c", "--force").err
    assert run("convert", *stories[1:], tmp_path / "b.foo").code == 0  # a folder that is there is meant


def test_the_tokenizer_of_a_replaced_file_goes_with_it(run, stories, tmp_path):
    bare = tmp_path / "bare.bin"
    assert run("convert", *stories[1:], tmp_path / "a.bin").code == 0
    assert (tmp_path / "a.tokenizer.bin").is_file()
    bare.write_bytes((tmp_path / "a.bin").read_bytes())
    assert run("convert", bare, tmp_path / "a.bin", "--force").code == 0
    assert not (tmp_path / "a.tokenizer.bin").exists()


def test_convert_quantises(run, smollm2_path, tmp_path):
    assert run("convert", smollm2_path, tmp_path / "q8.gguf", "--to", "Q8_0").code == 0
    assert "Q8_0" in run("info", tmp_path / "q8.gguf").out
    answer = run("chat", "What is the capital of France?", "--model", tmp_path / "q8.gguf", *GREEDY).out
    assert "Paris" in answer


def test_chat_answers_once_from_a_pipe(run, smollm2_path):
    result = run("chat", "--model", smollm2_path, *GREEDY, stdin="What is the capital of France?\n")
    assert (result.code, result.out) == (0, "The capital of France is Paris.\n")


def test_chat_with_a_base_model_says_what_is_missing(run, stories):
    result = run("chat", "Hello", *stories)
    assert result.code == 1
    assert "--template" in result.err
    assert run("chat", "Hello", *stories, "--template", "llama-2", "-n", 5, *GREEDY).code == 0


def test_conversation_remembers(smollm2, capsys):
    """Typed lines, as on a terminal: memory, commands, the end of the context."""
    from minillama.cli.chat import Conversation
    from minillama.inference.sampling import GREEDY as greedy

    lines = iter(["What is the capital of France?", "/help", "What did I ask you about?", "/reset", "", "/quit"])
    talk = Conversation(smollm2, None, quiet=False, sampling=greedy, max_tokens=40)
    talk.run(lambda: next(lines))
    captured = capsys.readouterr()
    first, second = captured.out.strip().split("\n", 1)
    assert first == "The capital of France is Paris."
    assert "France" in second
    assert talk.messages == []
    assert "a new conversation" in captured.err


def test_conversation_survives_a_full_context(stories260k, capsys):
    from minillama.cli.chat import Conversation
    from minillama.inference.sampling import GREEDY as greedy

    lines = iter(["word " * 600, "/quit"])
    talk = Conversation(stories260k, None, quiet=True, sampling=greedy, template="llama-2")
    talk.run(lambda: next(lines))
    assert "/reset starts over" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(stories):
    """`minillama generate … | head -c 5`"""
    command = [sys.executable, "-m", "minillama", "generate", "", *map(str, stories), "-n", "400", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(5)
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert "Traceback" not in err
    assert "Error" not in err


def test_no_colours_in_a_pipe(stories):
    command = [sys.executable, "-m", "minillama", "generate", "", *map(str, stories), "-n", "5"]
    result = subprocess.run(command, capture_output=True, check=True, env={**__import__("os").environ, "TERM": "xterm"})
    assert b"\x1b" not in result.stdout + result.stderr


def test_version_and_help(run):
    assert run("--version").out.startswith("minillama 0.")
    result = run("generate", "--help")
    assert result.code == 0
    assert "--repetition-penalty" in result.out


def test_convert_to_int8_keeps_its_groups(run, stories, tmp_path):
    """`runq` needs groups that divide both widths, 64 and 172; int8 from int8 changes no bit."""
    first, second = tmp_path / "a.bin", tmp_path / "b.bin"
    assert run("convert", stories[1], first, *stories[2:], "--version", 2).code == 0
    assert "int8/4" in run("info", first).out
    assert run("convert", first, second, *stories[2:], "--version", 2).code == 0
    assert first.read_bytes() == second.read_bytes()


def test_convert_keeps_the_licence_and_a_good_head(run, smollm2_path, tmp_path):
    """4 bits for the layers, 8 for the embedding that is also the head; and whose weights they are."""
    from minillama.checkpoints.gguf.reading import read_gguf

    assert run("convert", smollm2_path, tmp_path / "q4.gguf", "--to", "Q4_0").code == 0
    source, written = read_gguf(smollm2_path), read_gguf(tmp_path / "q4.gguf")
    assert written.params.token_embedding.format_name == "Q8_0"
    assert written.params.layers[3].w_up.format_name == "Q4_0"
    for key in ("general.license", "general.name"):
        assert written.metadata.get(key) == source.metadata.get(key)


def test_convert_says_where_llama_cpp_will_differ(run, stories, tmp_path):
    assert "llama.cpp does not" in run("convert", stories[1], tmp_path / "a.gguf", *stories[2:]).err
