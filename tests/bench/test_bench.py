"""`minillama bench`: figures of every round, peers that are there, missing or broken, quality."""

import io
import json
import os
import re
import signal
import statistics
import sys

import psutil
import pytest

from minillama.bench import peers as peers_module
from minillama.bench import rows as rows_module
from minillama.bench.plot import draw_roofline, roofline_points
from minillama.bench.process import PeerError, Worker
from minillama.bench.report import as_json, as_text, table
from minillama.bench.rows import ROWS, Settings
from minillama.bench.run import run_bench
from minillama.cli.app import main
from minillama.params import count_parameters

LLAMA_CPP = """
import time
from types import SimpleNamespace

__version__ = "0"

def llama_print_system_info():
    return b"CPU : none"

class Llama:
    def __init__(self, path, *, flash_attn, n_threads, **settings):
        print("a library that talks on stdout")
        self.seconds = 0.004 if flash_attn else 0.001
        self.context_params, self._model = SimpleNamespace(flash_attn=flash_attn), SimpleNamespace(model="model")
    def reset(self):
        pass
    def eval(self, tokens):
        time.sleep(self.seconds)

def llama_init_from_model(model, params):
    assert (model, params.kv_unified) == ("model", False)
    seconds = 0.004 if params.flash_attn else 0.001
    return SimpleNamespace(n=params.n_seq_max, positions={}, wanted=set(), seconds=seconds)

def llama_batch_init(n_tokens, embd, n_seq_max):
    columns = {name: [0] * n_tokens for name in ("token", "pos", "n_seq_id", "logits")}
    return SimpleNamespace(seq_id=[[0] * n_seq_max for _ in range(n_tokens)], **columns)

def llama_get_memory(context):
    return context

def llama_memory_clear(context, data):
    context.positions.clear()

def llama_decode(context, batch):
    "Every sequence goes on where it was."
    n = batch.n_tokens
    for position, (sequence,) in zip(batch.pos[:n], batch.seq_id[:n]):
        assert position == context.positions.get(sequence, 0), (position, context.positions)
        assert sequence < context.n
        context.positions[sequence] = position + 1
    context.wanted = {i for i in range(n) if batch.logits[i]}
    time.sleep(context.seconds)
    return 0

def llama_sampler_sample(sampler, context, i):
    assert i in context.wanted
    return 7

def _nothing(*arguments):
    return None

llama_sampler_chain_default_params = llama_sampler_chain_init = llama_sampler_chain_add = _nothing
llama_sampler_init_temp = llama_sampler_init_dist = _nothing
"""

LLAMA2C = """#!{python}
import os, struct, sys

model, _, tokenizer, _, _, _, n = sys.argv[1:]
dim, *_ = struct.unpack("<7i", open(model, "rb").read(28))
assert (dim, os.environ["OMP_NUM_THREADS"]) == (64, "1")
assert os.path.getsize(tokenizer) == 4 + 512 * 9
print("a" * int(n))
print("achieved tok/s: 1000.0", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def stories(shared_data, tmp_path_factory):
    """stories260K as GGUF, which every peer reads."""
    from minillama.checkpoints.convert import convert_checkpoint

    folder, target = shared_data / "stories260K", tmp_path_factory.mktemp("bench") / "stories.gguf"
    return convert_checkpoint(folder / "stories260K.bin", target, tokenizer=folder / "tok512.model")[0]


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    """A llama.cpp and a llama2.c that do nothing, at known speeds."""
    folder = tmp_path_factory.mktemp("peers")
    (folder / "llama_cpp.py").write_text(LLAMA_CPP)
    (folder / "run").write_text(LLAMA2C.format(python=sys.executable))
    (folder / "run").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
        patch.setenv(peers_module.LLAMA_CPP_PYTHON, sys.executable)
        patch.setenv(peers_module.LLAMA2C_RUN, str(folder / "run"))
        yield folder


@pytest.fixture(scope="module")
def results(stories, peers):
    rows = tuple(row for row in ROWS if row != "sampled-64")
    settings = Settings(str(stories), rounds=3, rows=rows, against=("llama.cpp", "llama2.c"), array_bytes=1 << 20)
    return run_bench(settings)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process; exit code, stdout, stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return run


def parsed(text):
    """The lines of a table as dicts, by its titles; a second ratio is `ratio2`."""
    lines = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    titles = []
    for title in lines[0]:
        titles.append(f"{title}{titles.count(title) + 1}" if title in titles else title)
    return [dict(zip(titles, line, strict=True)) for line in lines[1:]]


def section(text, beginning):
    """The paragraph one of whose lines begins so, from that line on."""
    paragraph = next(p for p in text.split("\n\n") if re.search(f"^{beginning}", p, re.M))
    return paragraph[re.search(f"^{beginning}", paragraph, re.M).start() :]


def test_json_has_every_round(results):
    content = json.loads(json.dumps(as_json(results)))
    assert content["rounds"] == 3
    assert not content["interrupted"]
    found = {(entry["row"], entry["engine"]) for entry in content["rows"]}
    ours = {(row, "minillama") for row in ROWS if row not in ("decode-1024", "sampled-64")}
    of_llama_cpp = ("decode", "prefill-512", "sampled", "sampled-16")
    llama_cpp = {(row, name) for row in of_llama_cpp for name in ("llama.cpp", "llama.cpp+fa")}
    assert found == ours | llama_cpp | {("decode", "llama2.c")}
    for entry in content["rows"]:
        assert len(entry["rounds"]) == 3
        assert min(entry["rounds"]) > 0
        assert entry["median"] == statistics.median(entry["rounds"])
    by_name = {(entry["row"], entry["engine"]): entry for entry in content["rows"]}
    ratio = by_name["decode", "minillama"]["median"] / by_name["decode", "llama.cpp"]["median"]
    assert by_name["decode", "llama.cpp"]["ratio"] == pytest.approx(ratio)


def test_a_peer_gives_its_speed(results):
    """1 ms for a step, 1 ms for a prompt; 1000 tokens a second by its own word."""
    assert 50 < results.median(1, "decode", "llama.cpp") <= 1000
    assert 50 * 512 < results.median(1, "prefill-512", "llama.cpp") <= 1000 * 512
    assert results.median(1, "decode", "llama2.c") == pytest.approx(1000)
    assert 25 < results.median(1, "sampled", "llama.cpp") <= 1000
    assert 16 * 25 < results.median(1, "sampled-16", "llama.cpp") <= 16 * 1000  # tokens of all sequences


def test_the_better_way_of_running_a_peer_counts(results):
    name, speed = results.best(1, "decode", "llama.cpp")
    assert (name, speed) == ("llama.cpp", results.median(1, "decode", "llama.cpp"))
    assert results.median(1, "decode", "llama.cpp+fa") < speed


def test_the_table_says_what_was_measured(results):
    text = as_text(results)
    rows = parsed(section(text, "threads  row +unit"))
    assert [row["row"] for row in rows] == [row for row in ROWS if row not in ("decode-1024", "sampled-64")]
    decode = rows[0]
    number = lambda name: float(decode[name].replace(",", ""))
    assert number("ratio") == pytest.approx(number("minillama") / number("llama.cpp"), abs=0.02)
    assert number("ratio2") == pytest.approx(number("minillama") / 1000, abs=0.01)
    assert rows[1]["llama2.c"] == "-"
    assert "decode-1024 is left out: it needs 1073 positions, the model has 512" in text
    assert results.machine["cpu"] in text


def test_what_decoding_reads(results, stories260k):
    """All of stories260K but the norms' share that is vectors; its head is the embedding."""
    row = parsed(section(as_text(results), "threads  row +weights"))[0]
    assert float(row["weights MB"]) == pytest.approx(4 * count_parameters(stories260k.config) / 1e6, rel=0.01)
    kv = 2 * stories260k.config.n_layers * stories260k.config.n_kv_heads * stories260k.config.head_dim * 4 * 37.5
    assert float(row["KV MB"]) == pytest.approx(kv / 1e6, abs=0.006)
    entry = next(e for e in as_json(results)["rows"] if (e["row"], e["engine"]) == ("decode", "minillama"))
    assert entry["bytes_per_second"] == pytest.approx((entry["weight_bytes"] + entry["kv_bytes"]) * entry["median"])
    assert entry["share"] == pytest.approx(entry["bytes_per_second"] / results.roofs[1]["bytes_per_second"])


def test_starting_programs(results):
    assert 0.005 < results.median(1, "import", "minillama") < results.median(1, "import-numba", "minillama")
    assert 0 < results.median(1, "import-numba", "minillama") < 5 * results.median(1, "first-token", "minillama")
    assert 20 < results.median(1, "memory", "minillama") < 2000


def test_points_of_the_roofline(results):
    decode, prefill = roofline_points(results)
    assert (decode.row, prefill.row) == ("decode", "prefill-512")
    assert 0.3 < decode.intensity < 0.7  # float32: two operations for four bytes
    assert prefill.intensity > 100
    assert decode.flops_per_second / decode.intensity == pytest.approx(
        next(e for e in as_json(results)["rows"] if e["row"] == "decode")["bytes_per_second"], rel=1e-6
    )


@pytest.mark.parametrize("name", ["roof.png", "roof.svg"])
def test_the_picture(results, name, tmp_path):
    draw_roofline(results, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 10_000


def test_without_matplotlib_one_sentence_before_measuring(run, stories, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = run("bench", "--model", stories, "--plot", tmp_path / "roof.png")
    assert (code, out) == (1, "")
    assert "pip install matplotlib" in err


def test_command_line(run, stories, monkeypatch, tmp_path):
    """An uninstalled peer is a note, not an error; JSON lands in its file, progress on stderr."""
    monkeypatch.delenv(peers_module.LLAMA2C_RUN, raising=False)
    options = ["--threads", "1", "--rounds", 1, "--rows", "decode,import", "--json", tmp_path / "figures.json"]
    code, out, err = run("bench", "--model", stories, *options, "--against", "llama2.c")
    assert code == 0, err
    assert [row["row"] for row in parsed(section(out, "threads  row +unit"))] == ["decode", "import"]
    assert "llama2.c: not installed" in out
    assert "git clone https://github.com/karpathy/llama2.c" in out
    assert "1 thread: round 1 of 1" in err
    content = json.loads((tmp_path / "figures.json").read_text())
    assert [entry["row"] for entry in content["rows"]] == ["decode", "import"]
    assert str(stories.parent) not in json.dumps(content)


def test_ctrl_c_keeps_what_was_measured(stories):
    def interrupt(text):
        if "round 2" in text:
            raise KeyboardInterrupt

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    results = run_bench(Settings(str(stories), rounds=5, rows=("decode",), array_bytes=1 << 20), interrupt)
    assert results.interrupted
    assert len(results.series[1, "decode", "minillama"]) == 1
    assert "interrupted" in as_text(results)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


BROKEN = {
    "import time; time.sleep(60)": "gave no answer in 1 s",
    "import os, signal; os.kill(os.getpid(), signal.SIGILL)": "SIGILL",
    "print('hello')": "answered 'hello",
    "import sys; sys.exit('no such luck')": "exit code 1.*no such luck",
    'print(\'{"missing": "llama_cpp"}\')': "not installed: llama_cpp is missing",
    'print(\'{"error": "ValueError: bad file"}\')': "ValueError: bad file",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_worker_says_how(code):
    with pytest.raises(PeerError, match=BROKEN[code]):
        Worker([sys.executable, "-c", code], {}, timeout=1 if "sleep" in code else 30)


def test_an_interpreter_that_is_not_there():
    with pytest.raises(PeerError, match="/nowhere/python cannot be started"):
        Worker(["/nowhere/python"], {}, timeout=1)


def test_a_worker_that_dies_between_answers():
    code = "import sys, os; print('{\"ready\": {}}', flush=True); sys.stdin.readline(); os.abort()"
    worker = Worker([sys.executable, "-c", code], {}, timeout=30)
    try:
        with pytest.raises(PeerError, match=signal.SIGABRT.name):
            worker.ask({})
    finally:
        worker.close()


def test_a_peer_that_breaks_leaves_the_others(stories, peers, monkeypatch):
    (peers / "broken").write_text(f"#!{sys.executable}\nimport sys\nsys.exit('out of luck')\n")
    (peers / "broken").chmod(0o755)
    monkeypatch.setenv(peers_module.LLAMA2C_RUN, str(peers / "broken"))
    results = run_bench(
        Settings(str(stories), rounds=1, rows=("decode",), against=("llama2.c", "llama.cpp"), array_bytes=1 << 20)
    )
    assert any("did not say its speed (exit code 1): out of luck" in note for note in results.notes)
    assert {engine for _, _, engine in results.series} == {"minillama", "llama.cpp", "llama.cpp+fa"}


def test_a_copy_for_llama2c_is_labelled(stories, peers, tmp_path):
    """Another rope_theta: llama2.c cannot run the model, only one of its shapes."""
    from dataclasses import replace

    from minillama.checkpoints.loading import load_checkpoint

    checkpoint = load_checkpoint(stories)
    other = replace(checkpoint, config=replace(checkpoint.config, rope_theta=1e5))
    peer = peers_module.PEERS["llama2.c"]
    engine = peer.start("llama2.c", peers_module.Subject(stories, None, other, 64, tmp_path), 1, 10)
    assert "a copy of the same shapes with rope_theta 10000" in engine.about["version"]
    assert engine.rate(peers_module.Request([3] * 12, 48)) == pytest.approx(1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "decode,speed"], "unknown row 'speed'; possible: decode, decode-1024"),
        (["--rows", ","], "give at least one row"),
        (["--against", "ollama"], "unknown engine 'ollama'; possible: llama.cpp, llama2.c"),
        (["--threads", "1,x"], "--threads takes numbers such as 1,2; got '1,x'"),
        (["--threads", "0"], "threads must be between 1 and"),
        (["--rounds", "0"], "rounds must be 1 or more, got 0"),
        (["--model", "nothing.gguf", "--rounds", "1"], "nothing.gguf"),
        (["--json", "nowhere/figures.json"], "there is no folder nowhere"),
        (["--quality"], "give --text FILE"),
        (["--text", "some.txt"], "--text belongs to --quality"),
        (["--quality", "--text", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--quality", "--text", "nowhere.txt", "--tokens", "0"], "tokens must be 1 or more, got 0"),
    ],
)
def test_errors_are_one_sentence(run, options, message):
    code, out, err = run("bench", *options)
    assert (code, out) == (1, "")
    assert message in err
    assert "Traceback" not in err


def test_quality_of_a_float_model_is_exact(run, stories, shared_data, tmp_path):
    """Two windows; nothing is rounded in float32, however it is computed."""
    text = shared_data / "wikitext-2" / "test.txt"
    options = ["--text", text, "--tokens", 600, "--threads", 1, "--json", tmp_path / "quality.json"]
    code, out, err = run("bench", "--quality", "--model", stories, *options)
    assert code == 0, err
    assert [row["path"] for row in parsed(out)] == ["float32", "prompt", "decode"]
    exact, prompt, decode = json.loads((tmp_path / "quality.json").read_text())
    assert exact["tokens"] == decode["tokens"] == 600
    assert 1 < exact["perplexity"] < 1e6
    assert prompt["perplexity"] == pytest.approx(exact["perplexity"], rel=1e-6)
    assert decode["perplexity"] == pytest.approx(exact["perplexity"], rel=1e-4)
    assert exact["mean_kl"] == exact["max_kl"] == 0
    assert 0 <= decode["mean_kl"] < 1e-6
    assert exact["same_top_1"] == 1
    assert decode["same_top_1"] > 0.99


def test_quality_is_the_perplexity_of_logprobs(stories260k, stories, shared_data):
    """Against LLM.logprobs, window by window."""
    from minillama.bench.quality import measure_quality

    text = shared_data / "tinystories" / "valid.txt"
    exact = measure_quality(str(stories), text, n_tokens=100)[0]
    ids = stories260k.tokenizer.encode(text.read_text()[:2000], bos=False)[:100]
    logprobs = stories260k.logprobs([stories260k.tokenizer.bos_id], ids)
    assert exact.nll == pytest.approx(-logprobs.sum(), rel=1e-5)


def test_quality_of_integer_products(smollm2_path, shared_data):
    from minillama.bench.quality import measure_quality

    exact, *ways = measure_quality(str(smollm2_path), shared_data / "wikitext-2" / "test.txt", n_tokens=40)
    for way in ways:
        assert way.perplexity == pytest.approx(exact.perplexity, rel=0.005)
        assert -1e-9 < way.kl_sum / way.tokens < 0.01


def test_columns():
    assert table(["name", "n"], [["a", "1"], ["bcd", "10"]]) == "name   n\na      1\nbcd   10"
    assert rows_module.ROWS["decode"].positions == 61
