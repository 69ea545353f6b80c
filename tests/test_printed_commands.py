"""Every command that a person is shown (README, book, screens, errors) is one that the command line takes.

Each is parsed with its options as it stands; those of the README that are quick are run as well, one after the other in
one folder, as somebody would who works down the page.
"""

import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import typer
from test_printed_names import ROOT, pages, shown

from minillama.cli.commands import app
from minillama.learn.chapters.texts import solution
from minillama.learn.workspace.folder import Workspace

# Behind a prompt or an indent, at a line's begin; or between backticks.
IN_A_BLOCK = re.compile(r"^(?:#? {2,}(?:.*\| |[\w ]*[:.] {1,4})?)(minillama(?: .*)?)$", re.MULTILINE)
IN_BACKTICKS = re.compile(r"`(minillama [^`]*)`")
COMMAND = typer.main.get_command(app)


def commands_in(text: str) -> list[str]:
    """The commands that are printed in a text, without comments; prose that only begins so is left out."""
    found = [*IN_A_BLOCK.findall(text), *IN_BACKTICKS.findall(text.replace("\n", " ").replace(" # ", " "))]
    lines = [re.split(r" {2,}|\s#|\s[|>&]\s|\.\.\.| …", line)[0].strip() for line in found]
    return [line for line in lines if re.match(r"minillama [a-z]", line)]


def complaint(line: str) -> str:
    """What the command line says against a command, when it reads its options and arguments; it runs nothing."""
    parts = shlex.split(line)[1:]
    command, context = COMMAND, COMMAND.context_class(COMMAND, info_name="minillama")
    try:
        while hasattr(command, "commands") and parts and not parts[0].startswith("-"):
            name, command, parts = command.resolve_command(context, parts)
            context = command.context_class(command, info_name=name, parent=context)
        if not hasattr(command, "commands") and "--help" not in parts:
            command.make_context(context.info_name, parts, parent=context.parent)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer has a click of its own
            raise
        return error.format_message() or type(error).__name__
    return ""


PRINTED = [(path, line) for path in pages() for line in dict.fromkeys(commands_in(shown(path)))]


def test_commands_are_found():
    """The test below has something to look at."""
    assert len({line for _, line in PRINTED}) > 100


@pytest.mark.parametrize(("path", "line"), PRINTED, ids=[f"{p.relative_to(ROOT)}-{line}" for p, line in PRINTED])
def test_a_printed_command_is_taken(path, line):
    if {"{", "}"} & set(line):
        pytest.skip("is filled in when it is printed")
    said = complaint(line)
    assert not said or (said.startswith("Missing argument") and re.fullmatch("[a-z ]+", line)), said  # only its name


def test_a_wrong_command_is_found():
    assert not complaint("minillama learn")
    for line in ("minillama chat --modle x", "minillama convert one", "minillama learn chekc", "minillama info a b c"):
        assert complaint(line)


# --- README, from the top -------------------------------------------------------------------------

# What is not run here, and what holds it instead.
ELSEWHERE = {
    "learn watch": "waits for a person; tests/learn/test_workspace.py",
    "learn lab": "serves until it is stopped; tests/learn/test_own_book.py",
    "bench": "measures for minutes; tests/bench",
    "eval list": "needs a folder of benchmarks; tests/cli/test_eval.py",
    "eval show": "needs a benchmark; tests/cli/test_eval.py",
    "eval run --model": "needs benchmarks; tests/evaluation",
    "eval compare": "needs the two runs before it; tests/cli/test_eval.py",
    "eval seeds": "needs the runs before it; tests/cli/test_eval.py",
    "eval contamination": "needs the run before it; tests/cli/test_eval.py",
    "eval rate": "waits for a person, or for files of one's own; tests/cli/test_eval_rate.py",
    "eval redteam": "a minute and more, or needs a benchmark; tests/evaluation",
    "align --preset minute": "two minutes, and `.ci/run` does it",
    "align --out run": "75 minutes",
    "align --preset smollm2": "six hours",
    "chat --model run/chat.gguf": "needs the 75 minutes",
    "train my.toml": "minutes; tests/training",
    "generate --model run": "needs the training before it",
    "convert run": "needs the training before it",
}


def lines_of_readme() -> list[str]:
    """What stands in README's blocks to be typed, whole: with pipes and the like, without comments."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    ((?:echo .*\| )?minillama .*)$", text, re.MULTILINE)
    return [re.sub(r"\s+#.*", "", line) for line in lines if "…" not in line]


def reason_not_to(line: str) -> str:
    return next((why for begin, why in ELSEWHERE.items() if line.startswith(f"minillama {begin}")), "")


def made_up(seed: int) -> str:
    """A text that the filters keep, with words enough for a vocabulary of 1,024."""
    rng = np.random.default_rng(seed)
    parts = rng.choice(
        ["ba", "do", "fin", "ga", "hul", "kes", "lo", "mi", "nor", "pu", "ra", "sot", "tem", "vi"], (900, 2)
    )
    words = iter("".join(pair) for pair in parts)
    return " ".join(f"The {next(words)} {next(words)} to the {next(words)} with {next(words)}." for _ in range(30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands are typed, with the texts that README speaks of and a `minillama` on the path."""
    here = tmp_path_factory.mktemp("readme")
    (here / "bin").mkdir()
    program = here / "bin" / "minillama"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minillama "$@"\n')
    program.chmod(0o755)
    (here / "texts").mkdir()
    (here / "texts" / "made_up.txt").write_text("\n<|endoftext|>\n".join(made_up(seed) for seed in range(60)))
    (here / "held_out.txt").write_text(made_up(60))
    return here


def test_what_is_left_out_is_printed():
    printed = "\n".join(lines_of_readme())
    assert [begin for begin in ELSEWHERE if f"minillama {begin}" not in printed and begin not in ("learn lab",)] == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="README's lines are for a POSIX shell")
@pytest.mark.parametrize("line", [line for line in lines_of_readme() if not reason_not_to(line)])
def test_the_next_command_of_the_readme_works(line, folder, request):
    if "smollm2" in line or line.startswith(("minillama chat --", "echo")):
        request.getfixturevalue("smollm2_path")  # or it is said why not
    if "--with my-llama" in line:  # "What passes can run the real model": the learner has written one
        Workspace(folder / "my-llama").put("rmsnorm_forward", solution("rmsnorm_forward"))
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    typed = "Why is the sky blue?\n"
    done = subprocess.run(line, shell=True, input=typed, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
