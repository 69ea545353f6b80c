"""stdin, stdout and stderr as shells hand them over, tried with real processes; and texts as Windows writes them."""

import io
import os
import subprocess
import sys

import pytest

from minillama.cli.app import main

posix = pytest.mark.skipif(os.name == "nt", reason="needs a shell of Unix")
needs_full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
GENERATE = 'generate "Once upon" -n 2 -t 0'
TOKENIZE = "tokenize Once -m stories3M --ids"
# Not what Python does for its users' sake in the C locale: what a terminal of another encoding does.
PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def shell(command, **environment):
    """Run `M …` in a shell: exit code, stdout and stderr, as bytes."""
    given = {**os.environ, "M": f"{sys.executable} -m minillama", **environment}
    ended = subprocess.run(["bash", "-c", command], env=given, capture_output=True, timeout=250)
    assert b"Traceback" not in ended.stderr
    assert b"Exception" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


@posix
@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        ("$M generate -n 3 <&-", 1, b"", b"there is no text"),
        ("$M chat -m stories3M <&-", 1, b"", b"there is no text"),
        ("$M chat -m stories3M </dev/null", 1, b"", b"there is no message"),
        ("$M chat -m stories3M '  '", 1, b"", b"there is no message"),
        ("$M tokenize $'caf\\xe9' -m stories3M", 1, b"", b"not UTF-8: found byte 0xe9 at position 3"),
        (f"$M {GENERATE} >&-", 1, b"", b"there is nowhere to write: stdout is closed"),
        (f"$M {TOKENIZE} <&- >&- 2>&-", 1, b"", b""),
        (f"$M {TOKENIZE} 2>&-", 0, b"1 430\n", b""),
        (f"$M {GENERATE} <&- 2>&-", 0, b" a time\n", b""),
    ],
)
def test_closed_streams(command, code, out, err):
    found = shell(command)
    assert found[:2] == (code, out)
    assert err in found[2]
    assert found[2].count(b"\n") == (1 if err else 0)


@posix
def test_a_terminal_without_a_width_is_talked_to():
    for command, code, said in (("info nosuch", 1, b"error: 'nosuch' is neither"), ("--help", 0, b"Usage:")):
        found = shell(f"$M {command}", COLUMNS="0", LINES="0")
        assert found[0] == code
        assert said in found[1] + found[2]


@posix
@needs_full_disk
@pytest.mark.parametrize("command", [TOKENIZE, "--help"])
def test_a_full_stdout_is_one_sentence(command):
    code, _, err = shell(f"$M {command} >/dev/full")
    assert code == 1
    assert b"No space left on device" in err.splitlines()[0]
    assert b"Errno" not in err


@posix
@needs_full_disk
@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_full_stderr_spoils_no_answer(unbuffered):
    assert shell(f"$M {GENERATE} 2>/dev/full", PYTHONUNBUFFERED=unbuffered)[:2] == (0, b" a time\n")
    assert shell(f"$M {TOKENIZE} --model nothing 2>/dev/full")[:2] == (1, b"")
    assert shell("$M info nonsuch >/dev/full 2>&1")[0] == 1


@posix
def test_nobody_reads_any_more():
    assert shell("($M models; echo rc $? >&2) | true")[2].endswith(b"rc 0\n")
    out = shell(f"exec 3>&1; ((sleep 0.2; $M {TOKENIZE} -m stories3M >&3; echo rc $? >&3) 2>&1) | true")[1]
    assert out.endswith(b"\nrc 0\n")


@posix
def test_what_an_encoding_lacks_is_replaced():
    command = '$M tokenize "héllo ☃" -m stories3M'
    in_full = shell(command, PYTHONIOENCODING="utf-8:strict")[1].decode()
    assert "▁" in in_full
    for encoding in ("cp1252", "ascii:strict"):
        code, out, _ = shell(command, PYTHONIOENCODING=encoding)
        assert (code, out) == (0, in_full.encode(encoding.partition(":")[0], "replace"))


@posix
def test_the_c_locale_replaces_and_reads_utf8():
    code, out, _ = shell("echo 'naïve Once upon' | $M generate -n 2 -t 0 --echo", **PLAIN)
    assert (code, out[:16]) == (0, b"na?ve Once upon ")


@posix
def test_a_name_of_other_bytes_is_repeated_as_it_is(tmp_path):
    code, out, _ = shell("cd $T && $M convert stories3M $'\\xe9.gguf'", T=str(tmp_path))
    assert (code, out) == (0, b"\xe9.gguf\n")
    assert b"cannot write \xe9.foo: " in shell("$M convert stories3M $'\\xe9.foo'")[2]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process, with bytes in its pipe: exit code, stdout, stderr."""

    def run(*args, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["minillama", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii"))
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


@pytest.mark.parametrize(
    "raw",
    [
        b"Once\nupon",
        b"Once\nupon\n",
        b"Once\r\nupon\r\n",
        b"Once\r\nupon\r\n\r\n",
        b"\xef\xbb\xbfOnce\nupon",
        b"\xef\xbb\xbfOnce\r\nupon\r\n",
        "Once\r\nupon\r\n".encode("utf-16"),
        b"\xfe\xff" + "Once\nupon\n".encode("utf-16-be"),
    ],
)
def test_marks_and_line_ends_are_no_part_of_a_prompt(run, raw):
    plain = run("tokenize", "Once\nupon", "-m", "stories3M", "--ids")
    assert plain[0] == 0
    assert run("tokenize", "-m", "stories3M", "--ids", stdin=raw)[:2] == plain[:2]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"caf\xe9", "byte 0xe9 at position 3 is not UTF-8"),
        (b"\xef\xbb\xbfcaf\xe9", "byte 0xe9 at position 6 is not UTF-8"),
        (b"\xff\xfea", "mark of UTF-16, and is not"),
        ("caf".encode("utf-32"), "UTF-32"),
    ],
)
def test_a_pipe_that_is_no_text_is_one_sentence(run, raw, message):
    code, out, err = run("tokenize", "-m", "stories3M", stdin=raw)
    assert (code, out) == (1, "")
    assert message in err
    assert err.startswith("error: stdin cannot be read as text: ")
    assert err.count("\n") == 1


def test_an_argument_that_is_no_text_is_one_sentence(run):
    code, _, err = run("tokenize", "caf\udce9", "-m", "stories3M")
    assert code == 1
    assert "the text given is not UTF-8" in err


@pytest.mark.parametrize("name", [":rocket:.gguf", "[bold]x[/].gguf", "[/].gguf", "a\tb.gguf", "a  b:fire:", "\\[x]"])
@pytest.mark.parametrize("command", ["info", "convert", "generate"])
def test_names_are_repeated_as_they_were_given(run, command, name):
    args = {"convert": (name, "x.gguf"), "generate": ("Hi", "-m", name)}.get(command, (name,))
    code, _, err = run(command, *args)
    assert code == 1
    assert name in err or repr(name)[1:-1] in err


def test_a_label_is_shown_as_it_is(tmp_path):
    """The bar of a download, or of a file that is read."""
    pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    from cli.pseudo_terminal import Terminal

    code = (
        "from minillama.cli.common.output import download_bar\n"
        "with download_bar() as progress:\n    progress(1, 2, 'reading :fire:[bold].txt')\n"
    )
    with Terminal("-c", code) as terminal:
        terminal.wait_for(b"reading :fire:[bold].txt")
