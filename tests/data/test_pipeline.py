"""The filter pipeline: what comes out, resuming to the byte, clear errors, the command."""

import errno
import gzip
import io
import json
import random
import signal
import subprocess
import sys

import pytest

from minillama.cli.app import main
from minillama.data.documents import TextLayout, read_texts, text_files
from minillama.data.pipeline import passes
from minillama.data.pipeline.plot import draw_filters
from minillama.data.pipeline.report import report_markdown, report_paths
from minillama.data.pipeline.run import PipelineSettings, run_pipeline, work_folder
from minillama.data.pipeline.settings import RULES, evaluation_texts
from minillama.data.pipeline.tally import merge

ALL = ("repetition", "gopher", "c4", "fineweb", "harmful", "exact", "minhash", "personal-data")
QUICK = ("repetition", "gopher", "c4", "fineweb", "exact", "minhash", "personal-data")


def story(rng, n_sentences=14):
    """Sentences of made-up words between real ones."""
    word = lambda: "".join(rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(rng.choice([2, 3])))
    begin, middle = ["The", "One", "My", "Some"], ["of the", "and", "with that", "to be", "near", "under", "like"]
    return " ".join(
        f"{rng.choice(begin)} {word()} {word()} {rng.choice(middle)} {word()} {word()} {rng.choice(middle)} {word()}."
        for _ in range(n_sentences)
    )


def texts(n=60, seed=0):
    """Stories, with something for every filter between them."""
    rng = random.Random(seed)
    found = [story(rng) for _ in range(n)]
    found[3] = found[1]  # exact
    found[7] = found[1].replace(" ", "  ").replace("The", "THE")  # exact, too
    found[9] = found[2] + " And then they all went home."  # near
    found[11] = "#" + story(rng).replace(" ", " #")
    found[13] = "\n".join([story(rng, 1)] * 20)
    found[15] = story(rng) + " { brace }"
    found[17] = story(rng) + " Write to jane.doe@mail.example-host.com today."
    found[19] = story(rng) + "\nOur privacy policy is here for you.\n" + story(rng)
    return found


def write(path, texts, separator="<|endoftext|>"):
    path.write_text("".join(f"{text}\n{separator}\n" for text in texts), encoding="utf-8")
    return path


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in.txt", texts())


def settings_for(source, out, **changes):
    return PipelineSettings(inputs=(source,), out=out, **{"rules": QUICK, "batch_bytes": 5000, **changes})


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def without_times(tally):
    if isinstance(tally, dict):
        return {key: without_times(value) for key, value in tally.items() if key != "seconds"}
    return tally


def test_every_filter_takes_its_own(source, tmp_path):
    result = run_pipeline(settings_for(source, tmp_path / "out"))
    given, kept = texts(), list(read_texts(text_files([tmp_path / "out"])))
    gone = {3, 7, 9, 11, 13, 15}
    assert len(kept) == len(given) - len(gone)
    filters = result.tally["filters"]
    assert list(filters) == list(QUICK)
    assert {name: part["dropped"] for name, part in filters.items()} == {
        "repetition": 1,
        "gopher": 1,
        "c4": 1,
        "fineweb": 0,
        "exact": 2,
        "minhash": 1,
        "personal-data": 0,
    }
    assert filters["c4"]["rules"]["policy"]["times"] == 1
    assert filters["personal-data"]["changed"] == 1
    untouched = [text for i, text in enumerate(given) if i not in gone | {17, 19}]
    assert [text for text in kept if text in given] == untouched
    assert not any("jane.doe" in text or "privacy policy" in text for text in kept)
    assert result.tally["read"]["documents"] == 60
    assert result.tally["written"] == {"documents": 54, "bytes": sum(len(text.encode()) for text in kept)}
    # What goes in comes out or is counted, filter by filter.
    counts = [part["documents"] - part["dropped"] for part in filters.values()]
    assert [part["documents"] for part in filters.values()] == [60, *counts[:-1]]
    assert not work_folder(settings_for(source, tmp_path / "out")).exists()


@pytest.mark.parametrize("rules", [QUICK, ("gopher", "c4"), ("minhash",), ("personal-data", "exact", "gopher"), ()])
def test_workers_and_batches_do_not_change_what_is_kept(source, tmp_path, rules):
    kept = []
    for i, changes in enumerate([{}, {"workers": 2}, {"batch_bytes": 10**6}, {"shard_bytes": 2000}]):
        result = run_pipeline(settings_for(source, tmp_path / f"{i}", rules=rules, **changes))
        kept.append((list(read_texts(text_files([tmp_path / f"{i}"]))), without_times(result.tally)))
    assert kept[0] == kept[1] == kept[2] == kept[3]
    assert len(list((tmp_path / "3").iterdir())) > 3
    assert content(tmp_path / "0") == content(tmp_path / "1")
    if not rules:
        assert kept[0][0] == [text.strip("\n") for text in texts()]


class Stop(Exception):
    pass


@pytest.mark.parametrize("rules", [QUICK, ("gopher", "personal-data")])
@pytest.mark.parametrize("committed", [True, False])
def test_interrupted_anywhere_the_output_is_the_same(source, tmp_path, monkeypatch, rules, committed):
    changes = {"rules": rules, "shard_bytes": 4000}
    whole = run_pipeline(settings_for(source, tmp_path / "whole", **changes))
    monkeypatch.setattr(passes, "_COMMIT_SECONDS", -1.0 if committed else 1e9)
    settings = settings_for(source, tmp_path / "out", **changes)
    calls = limit = n_stops = 0

    def progress(_):
        nonlocal calls
        calls += 1
        if calls == limit:
            raise Stop

    # Without commits on the way a resumed run begins where the stage began: go further every time.
    for at in [2] * 60 if committed else range(1, 80):
        calls, limit = 0, at
        try:
            result = run_pipeline(settings, resume=True, progress=progress)
            break
        except Stop:
            n_stops += 1
            assert not list((tmp_path / "out").glob("part-*"))  # nothing that looks finished
            for path in work_folder(settings).iterdir():  # a half-written batch after the last commit
                if path.suffix in (".gz", ".bin", ".index"):
                    path.write_bytes(path.read_bytes() + b"half")
    assert n_stops > 3
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert without_times(result.tally) == without_times(whole.tally)


KILLED = """
import os, signal, sys
from pathlib import Path
from minillama.data.pipeline import passes
from minillama.data.pipeline.run import PipelineSettings, run_pipeline
if __name__ == "__main__":
    passes._COMMIT_SECONDS = 0.0
    source, out, stage, limit, workers = sys.argv[1:]
    calls = 0
    def progress(found):
        global calls
        calls += found.stage == stage
        if calls == int(limit):
            os.kill(os.getpid(), signal.SIGKILL)
    settings = PipelineSettings((Path(source),), Path(out), rules=RULES, batch_bytes=5000, workers=int(workers))
    run_pipeline(settings, resume=True, progress=progress)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_the_output_is_the_same(source, tmp_path, workers):
    run_pipeline(settings_for(source, tmp_path / "whole"))
    script = tmp_path / "killed.py"
    script.write_text(KILLED.replace("RULES", repr(QUICK)))
    for stage, limit, code in (("filtering", 3, -signal.SIGKILL), ("writing", 2, -signal.SIGKILL), ("", 1, 0)):
        command = [sys.executable, script, source, tmp_path / "out", stage, str(limit), str(workers)]
        assert subprocess.run(command, timeout=120).returncode == code
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_full_disk_leaves_a_run_that_resumes(source, tmp_path, monkeypatch):
    run_pipeline(settings_for(source, tmp_path / "whole"))
    settings = settings_for(source, tmp_path / "out")
    original = passes.PipelineFolder.commit
    monkeypatch.setattr(passes, "_COMMIT_SECONDS", -1.0)
    left = 4

    def full(folder):
        nonlocal left
        left -= 1
        if left == 0:
            monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        original(folder)

    monkeypatch.setattr(passes.PipelineFolder, "commit", full)
    with pytest.raises(
        OSError, match="No space left; what was committed is kept: make room and continue with --resume"
    ):
        run_pipeline(settings)
    monkeypatch.undo()
    run_pipeline(settings, resume=True)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_nothing_is_overwritten(source, tmp_path):
    out = tmp_path / "out"
    run_pipeline(settings_for(source, out))
    before = content(out)
    with pytest.raises(ValueError, match="is not empty: choose another output, or --force"):
        run_pipeline(settings_for(source, out))
    with pytest.raises(ValueError, match="has output but no interrupted run to resume"):
        run_pipeline(settings_for(source, out), resume=True)
    (out / "mine.md").write_text("notes")
    run_pipeline(settings_for(source, out, rules=()), force=True)
    assert (out / "mine.md").read_text() == "notes"
    assert content(out)["part-00000.jsonl.gz"] != before["part-00000.jsonl.gz"]

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        run_pipeline(settings_for(source, tmp_path / "b"), progress=stop)
    for changes, options, message in (
        ({}, {}, "has an interrupted run: --resume continues it, --force starts over"),
        ({"rules": ("gopher",)}, {"resume": True}, "settings are not those of the interrupted run"),
        ({"options": {"gopher": {"min_words": 3}}}, {"resume": True}, "settings are not those"),
    ):
        with pytest.raises(ValueError, match=message):
            run_pipeline(settings_for(source, tmp_path / "b", **changes), **options)
    first = passes.PipelineFolder(work_folder(settings_for(source, tmp_path / "b")))
    first.resume()
    for options in ({"resume": True}, {"force": True}):
        with pytest.raises(ValueError, match=r"another process \(number \d+\) is writing in"):
            run_pipeline(settings_for(source, tmp_path / "b"), **options)
    first.close()
    source.write_text(source.read_text() + "more")
    with pytest.raises(ValueError, match="input files are not those"):
        run_pipeline(settings_for(source, tmp_path / "b"), resume=True)
    state = work_folder(settings_for(source, tmp_path / "b")) / "state.json"
    state.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        run_pipeline(settings_for(source, tmp_path / "b"), resume=True)


def test_inputs_and_output_stay_apart(source, tmp_path):
    for out, inputs, message in (
        (source, source, "is an input and inside the output"),
        (tmp_path / "out", tmp_path, "is inside the input"),
        (tmp_path, source, "inside the output"),
    ):
        with pytest.raises(ValueError, match=message):
            run_pipeline(PipelineSettings((inputs,), out, rules=()))


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.txt.zst", "OUT.gz"])
def test_an_output_of_another_ending_is_refused(source, tmp_path, name):
    with pytest.raises(ValueError, match=rf"a file ends in \.jsonl\.gz, .*, not \.{name.rpartition('.')[2]}; "):
        settings_for(source, tmp_path / name)
    (tmp_path / name).mkdir()  # a folder of that name is a folder
    assert not settings_for(source, tmp_path / name).single_file


def test_endings_in_capitals(source, tmp_path):
    assert run_pipeline(settings_for(source, tmp_path / "OUT.TXT.GZ")).files == [tmp_path / "OUT.TXT.GZ"]
    run_pipeline(settings_for(source, tmp_path / "out.txt.gz"))
    assert (tmp_path / "OUT.TXT.GZ").read_bytes() == (tmp_path / "out.txt.gz").read_bytes()
    assert settings_for(source, tmp_path / "v1.0").single_file is False


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".jsonl", ".jsonl.gz"])
def test_endings(source, tmp_path, ending):
    one = tmp_path / f"one{ending}"
    assert run_pipeline(settings_for(source, one)).files == [one]
    run_pipeline(settings_for(source, tmp_path / "folder", ending=ending))
    assert content(tmp_path / "folder")[f"part-00000{ending}"] == one.read_bytes()
    assert len(list(read_texts([one]))) == 54
    with pytest.raises(ValueError, match="exists"):
        run_pipeline(settings_for(source, one))
    run_pipeline(settings_for(source, one), force=True)


def test_an_input_without_documents(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    result = run_pipeline(settings_for(empty, tmp_path / "out"))
    assert result.tally["written"]["documents"] == 0
    assert list(read_texts(result.files)) == []
    assert "0.00 |" in report_markdown(result.tally, settings_for(empty, tmp_path / "out"))
    draw_filters(result.tally, tmp_path / "x.png")


def test_places_that_cannot_be_read_are_counted_or_stop(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text"\n{"text": "\xff"}\n{"text": "b", "id": 1}\n')
    settings = settings_for(path, tmp_path / "out", rules=())
    problems = run_pipeline(settings).tally["problems"]
    assert {kind: part["times"] for kind, part in problems.items()} == {"bad JSON": 1, "bad UTF-8": 1}
    assert f"{path}, line 3: byte 0xff" in problems["bad UTF-8"]["examples"][0]
    lines = gzip.decompress((tmp_path / "out" / "part-00000.jsonl.gz").read_bytes()).splitlines()
    assert json.loads(lines[1]) == {"id": 1, "text": "b"}
    with pytest.raises(ValueError, match=r"bad JSON: .*x\.jsonl, line 2"):
        run_pipeline(settings_for(path, tmp_path / "strict", rules=(), strict=True))


def test_contamination_is_a_rule(tmp_path):
    given = texts(20)
    evaluation = tmp_path / "eval.jsonl"
    evaluation.write_text(json.dumps({"question": given[4], "answers": [given[5][:150], "no"]}) + "\n")
    source = write(tmp_path / "in.txt", given)
    settings = PipelineSettings((source,), tmp_path / "out", rules=("gopher", "exact"), eval_files=(evaluation,))
    assert settings.in_order == ("gopher", "contamination", "exact")
    assert run_pipeline(settings).tally["filters"]["contamination"]["dropped"] == 2
    kept = list(read_texts(text_files([tmp_path / "out"])))
    assert given[4] not in kept
    assert given[6] in kept
    (tmp_path / "e.csv").write_text('q,a\n"one, two",3\n')
    (tmp_path / "e.json").write_text('{"a": [{"b": "x"}], "c": 3}')
    assert list(evaluation_texts(tmp_path / "e.csv")) == ["q", "a", "one, two", "3"]
    assert list(evaluation_texts(tmp_path / "e.json")) == ["x"]
    assert list(evaluation_texts(write(tmp_path / "e.txt", ["one", "two"]))) == ["one", "two"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": ("gofer",)}, r"no rule 'gofer': did you mean gopher\? "),
        ({"rules": ("exact", "gopher", "minhash")}, "side by side"),
        ({"rules": ("minhash", "exact")}, "exact comes before minhash"),
        ({"rules": ("c4", "c4")}, "c4 is named twice"),
        ({"rules": ("contamination",)}, "give --eval FILE"),
        ({"options": {"gopher": {"min_word": 3}}}, r"\[gopher\] has no 'min_word': did you mean min_words\? "),
        ({"options": {"gopher": {"min_words": "3"}}}, r"\[gopher\] min_words must be int, or false .*got '3'"),
        ({"options": {"c4": {"preset": "x"}}}, "preset is one of fineweb, datatrove, original"),
        ({"options": {"c4": {"citations": 1}}}, "citations must be true or false"),
        ({"options": {"personal-data": {"style": "x"}}}, "style"),
        ({"options": {"minhash": {"bands": 0}}}, "at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"ending": ".csv"}, "shards end in"),
    ],
)
def test_wrong_settings(source, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run_pipeline(settings_for(source, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_thresholds_can_be_changed_and_rules_switched_off(tmp_path):
    source = write(tmp_path / "in.txt", ["It is one two three.", "The dog and the cat of that house."])
    kept = lambda name, **options: list(
        read_texts(
            run_pipeline(settings_for(source, tmp_path / name, rules=("gopher",), options={"gopher": options})).files
        )
    )
    assert kept("a") == []
    assert kept("b", min_words=False) == ["The dog and the cat of that house."]
    assert len(kept("c", min_words=2, min_stop_words=False)) == 2
    assert len(kept("d", min_words=2, stop_words=["it", "is", "of", "and"], min_stop_words=1)) == 2


def test_tallies_add_up():
    first = {"a": 1, "b": {"c": [1, 2, 3]}}
    merge(first, {"a": 2, "b": {"c": [4, 5, 6, 7]}, "d": 1.5})
    assert first == {"a": 3, "b": {"c": [1, 2, 3, 4, 5]}, "d": 1.5}


# --- the command ------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", "data", "filter", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


def test_the_command_writes_shards_and_a_report(run, source, tmp_path):
    code, out, err = run(source, "--out", tmp_path / "out", "--report", tmp_path / "report.md")
    assert code == 0, err
    paths = report_paths(tmp_path / "report")
    assert out.split() == [str(tmp_path / "out" / "part-00000.jsonl.gz"), *map(str, paths.values())]
    assert "of 60 documents kept" in err
    report = json.loads(paths["json"].read_text())
    assert report["rules"] == list(ALL) == [rule for rule in RULES if rule != "contamination"]
    assert report["read"]["documents"] == 60
    text = paths["md"].read_text()
    for part in ("| repetition | 60 | 1 |", "max_duplicate_lines", "What LLaMA 2 did", "Nothing else was filtered"):
        assert part in text
    assert "jane.doe@mail" not in text
    assert paths["png"].read_bytes()[:4] == b"\x89PNG"
    assert run(source, "--out", tmp_path / "out2", "--report", tmp_path / "report")[::2] == (
        1,
        f"error: {paths['json']} exists: choose another --report, or --force to replace it\n",
    )


def test_options_of_the_command(run, source, tmp_path):
    config = tmp_path / "filters.toml"
    config.write_text('rules = ["gopher", "exact"]\n[gopher]\nmin_words = 1\nmin_stop_words = false\n')
    code, _, err = run(source, "--out", tmp_path / "a.txt", "--config", config, "--workers", 2)
    assert (code, "57 of 60 documents kept" in err) == (0, True)
    assert (tmp_path / "a.txt.report.md").exists()
    _, _, err = run(source, "--out", tmp_path / "b", "--rules", "exact,minhash", "--without", "minhash")
    assert "58 of 60 documents kept" in err
    _, _, err = run(source, "--out", tmp_path / "f", "--rules", "exact", "--eval", source)
    assert "\n0 of 60 documents kept" in err
    _, _, err = run(source, "--out", tmp_path / "g", "--rules", "exact", "--eval", source, "--without", "contamination")
    assert "58 of 60 documents kept" in err
    _, _, err = run(source, "--out", tmp_path / "c", "--rules", "c4", "--whole-files")
    assert "of 1 documents kept" in err
    words = tmp_path / "words.txt"
    words.write_text("privacy policy\n")
    _, _, err = run(source, "--out", tmp_path / "d", "--rules", "harmful", "--word-list", words)
    assert "59 of 60 documents kept" in err
    for arguments, message in (
        (["--rules", "x"], "no rule 'x'"),
        (["--config", tmp_path / "none.toml"], "is not a file"),
        (["--without", "x"], "--without: there is no rule 'x'"),
        (["--format", "csv"], "shards end in"),
    ):
        code, _, err = run(source, "--out", tmp_path / "e", *arguments)
        assert (code, message in err) == (1, True)
    config.write_text("[gofer]\n")
    assert "did you mean gopher?" in run(source, "--out", tmp_path / "e", "--config", config)[2]


def test_without_matplotlib_only_the_plot_is_missing(run, source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = run(source, "--out", tmp_path / "out", "--rules", "gopher")
    assert (code, "report.md" in out, "report.png" in out) == (0, True, False)
    assert "pip install matplotlib" in err


def test_ctrl_c_says_how_to_go_on(run, source, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(passes.Passes, "_tell", interrupt)
    code, _, err = run(source, "--out", tmp_path / "out", "--rules", "gopher")
    assert (code, "--resume continues" in err) == (130, True)
    monkeypatch.undo()
    settings = PipelineSettings(
        (source,), tmp_path / "out", rules=("gopher",), layout=TextLayout(max_bytes=32 << 20), batch_bytes=4 << 20
    )
    assert run_pipeline(settings, resume=True).tally["written"]["documents"] == 59
