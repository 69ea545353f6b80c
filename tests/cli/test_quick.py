"""The quick way into `minillama generate` reads what typer reads, or leaves it to typer."""

import inspect
import subprocess
import sys
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest
import typer

from minillama.cli import generate as generate_file
from minillama.cli.commands import app
from minillama.cli.continuation import Request
from minillama.cli.quick import FLAGS, VALUES, plain_request

PLAIN = [
    ["Once"],
    ["Once upon a time", "--model", "m.gguf", "--threads", "2", "--temperature", "0", "--max-tokens", "32", "--quiet"],
    ["-m", "stories3M", "-n", "7", "-t", "0.25", "-p", "Once", "-q", "--echo"],
    ["--top-k", "40", "--top-p", "0.5", "--min-p", "0.05", "--repetition-penalty", "1.1", "--seed", "007", "a b"],
    ["--prompt", "Zwölf Boxkämpfer", "--tokenizer", "folder/tokenizer.model"],
    [],
]
OTHER = [
    ["--help"],
    ["Once", "--help"],
    ["Once", "upon"],
    ["-"],
    [""],
    ["--", "Once"],
    ["Once", "-n", "5", "--max-tokens", "6"],
    ["Once", "-n"],
    ["Once", "-n", "many"],
    ["Once", "-n", "-1"],
    ["Once", "-n", "1_000"],
    ["Once", "-n", "٣"],
    ["Once", "-t", "1e-3"],
    ["Once", "-t", "nan"],
    ["Once", "--max-tokens=5"],
    ["Once", "--max-tok", "5"],
    ["Once", "-qn", "5"],
    ["Once", "--seed", "-1"],
    ["Once", "--stop", "."],
    ["Once", "--ops", "reference"],
    ["Once", "--kv-cache", "float16"],
    ["Once", "--with", "folder"],
    ["Once", "--unknown"],
]


@pytest.fixture
def asked(monkeypatch):
    """The requests that typer's way in makes."""
    requests = []
    monkeypatch.setattr(generate_file, "continue_text", requests.append)
    return requests


@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
def test_plain_options_are_read_as_typer_reads_them(arguments, asked):
    app(["generate", *arguments], standalone_mode=False)
    assert plain_request(["generate", *arguments]) == asked[0]


@pytest.mark.parametrize("arguments", OTHER, ids=" ".join)
def test_anything_else_is_left_to_typer(arguments):
    assert plain_request(["generate", *arguments]) is None


def test_other_commands_and_completion_are_left_to_typer(monkeypatch):
    assert plain_request(["chat", "Hello"]) is None
    assert plain_request([]) is None
    monkeypatch.setenv("_MINILLAMA_COMPLETE", "complete_bash")
    assert plain_request(["generate", "Once"]) is None


def test_the_table_is_that_of_the_declared_options():
    names = {option.name: set(option.opts) for option in typer.main.get_command(app).commands["generate"].params}
    table = {}
    for option, field in [*FLAGS.items(), *((option, field) for option, (field, _) in VALUES.items())]:
        table.setdefault(field, set()).add(option)
    assert table == {field: names[field] for field in table}
    assert set(names) - set(table) == {"text", "stop", "ops", "kv_cache", "own", "only", "unchecked", "trace"}


def test_a_request_has_the_defaults_of_the_command():
    parameters = inspect.signature(generate_file.generate).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in defaults.items()}
    assert {field.name: field.default for field in fields(Request)} == plain


def test_an_answer_does_not_wait_for_what_only_options_and_colours_need():
    code = (
        "import sys\n"
        "sys.argv = ['minillama', 'generate', 'Once', '-n', '2', '--quiet']\n"
        "from minillama.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'typer', 'click', 'pydantic', 'rich', 'prompt_toolkit', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    prepared = [sys.executable, "-m", "minillama", "generate", "Once", "-n", "2"]  # compiling is told in colours
    for command in (prepared, [sys.executable, "-c", code]):
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
