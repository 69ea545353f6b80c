"""The command line: `generate`, `chat`, `tokenize`, `info`, `models`, `pull`, `convert`, `doctor`, `bench`.

Text goes to stdout and everything else to stderr, so that a pipe carries only the answer.
Heavy imports happen inside the commands: `minillama --help` is quick.
"""

from __future__ import annotations

import json
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_bench import register as register_bench
from .cli_chat import Conversation, Timed
from .cli_data import register as register_data
from .cli_learn import register as register_learn
from .cli_output import compile_notice, download_bar, fail, note, write
from .cli_own import LearnersModel
from .cli_train import register as register_train

if TYPE_CHECKING:
    from .llm import LLM

DEFAULT_MODEL = "smollm2-135m-instruct"
STORY_TELLER = "stories3M"  # ships inside the package: no network

app = typer.Typer(
    help="LLaMA 2 from scratch in NumPy and Numba: run, inspect and convert real models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class OpsName(StrEnum):
    reference = "reference"
    fast = "fast"


class KVName(StrEnum):
    float32 = "float32"
    float16 = "float16"


Model = Annotated[str, typer.Option("--model", "-m", help="A known name (see `minillama models`), a file or a folder.")]
TokenizerFile = Annotated[
    Path | None, typer.Option("--tokenizer", help="Tokenizer file, where the model's format carries none.")
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", "-n", min=0, help="Tokens to generate at most.")]
Temperature = Annotated[float, typer.Option("--temperature", "-t", help="0 takes the most probable token each time.")]
TopK = Annotated[int, typer.Option("--top-k", help="Only the k most probable tokens; 0 is off.")]
TopP = Annotated[float, typer.Option("--top-p", help="Only the most probable tokens up to this mass; 1 is off.")]
MinP = Annotated[float, typer.Option("--min-p", help="Only tokens this share as probable as the best; 0 is off.")]
Penalty = Annotated[float, typer.Option("--repetition-penalty", help="Above 1 repeats less; 1 is off.")]
Stop = Annotated[list[str] | None, typer.Option("--stop", help="End before this text; may be given several times.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="The same seed gives the same text.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Cores to use; all by default.")]
OpsOption = Annotated[OpsName, typer.Option("--ops", help="Compiled kernels, or the plain NumPy they are checked by.")]
KVOption = Annotated[KVName, typer.Option("--kv-cache", help="float16 halves the memory of long conversations.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No figures on stderr.")]


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        from . import __version__

        typer.echo(f"minillama {__version__}")
        raise typer.Exit


@app.command()
def generate(
    text: Annotated[str | None, typer.Argument(help="The beginning of the text; or --prompt, or stdin.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="The same as the positional text.")] = None,
    model: Model = STORY_TELLER,
    tokenizer: TokenizerFile = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.6,
    top_k: TopK = 0,
    top_p: TopP = 0.9,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    threads: Threads = None,
    ops: OpsOption = OpsName.fast,
    kv_cache: KVOption = KVName.float32,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before its continuation.")] = False,
    own: Annotated[Path | None, typer.Option("--with", help="Run on your own functions in this folder.")] = None,
    only: Annotated[str | None, typer.Option("--only", help="With --with: a single exercise.")] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="With --with: functions that do not pass, too.")
    ] = False,
    trace: Annotated[bool, typer.Option("--trace", help="With --with: where they first leave the reference.")] = False,
    quiet: Quiet = False,
) -> None:
    """Continue a text; without --model by the small story teller that ships with minillama."""
    start = _given_text(text, prompt)
    sampling = _sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    if own is None and (only or unchecked or trace):
        raise ValueError("--only, --unchecked and --trace go with --with FOLDER")
    learner = None if own is None else LearnersModel(own, only=only, unchecked=unchecked, trace=trace)
    with compile_notice():
        llm = _load(model, tokenizer, threads, ops, kv_cache)
        if learner is not None:
            learner.run_on(llm)
        session = llm.session()
        stream = Timed(
            session,
            lambda: llm.stream(
                start, max_tokens=max_tokens, stop=stop or (), seed=seed, session=session, sampling=sampling
            ),
        )
        if echo:
            write(start)
        stream.show()
    write("\n")
    if not quiet:
        note(stream.figures())
    if learner is not None:
        learner.report(llm.encode_prompt(start), quiet=quiet)


@app.command()
def chat(
    message: Annotated[str | None, typer.Argument(help="One message to answer; without it a conversation.")] = None,
    model: Model = DEFAULT_MODEL,
    tokenizer: TokenizerFile = None,
    system: Annotated[str | None, typer.Option("--system", help="What the assistant should know or be.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Chat format (llama-2, chatml, zephyr) if the model does not say.")
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = 0.6,
    top_k: TopK = 0,
    top_p: TopP = 0.9,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    threads: Threads = None,
    ops: OpsOption = OpsName.fast,
    kv_cache: KVOption = KVName.float32,
    quiet: Quiet = False,
) -> None:
    """Talk with a chat model; one answer when a message is given or stdin is a pipe."""
    sampling = _sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    once = message if message is not None else (None if sys.stdin.isatty() else _given_text(None, None))
    with compile_notice():
        llm = _load(model, tokenizer, threads, ops, kv_cache)
        llm.chat_template(template)  # an unknown format is said before the person types
        talk = Conversation(
            llm, system, quiet, template=template, max_tokens=max_tokens, stop=stop or (), seed=seed, sampling=sampling
        )
        if once is not None:
            talk.answer(once)
        else:
            talk.run()


@app.command()
def tokenize(
    text: Annotated[str | None, typer.Argument(help="The text, or stdin.")] = None,
    model: Model = DEFAULT_MODEL,
    tokenizer: TokenizerFile = None,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, on one line.")] = False,
    decode: Annotated[bool, typer.Option("--decode", help="The text is ids; print the text they stand for.")] = False,
    bos: Annotated[
        bool | None, typer.Option("--bos/--no-bos", help="Begin with BOS; by default as the model does.")
    ] = None,
    special: Annotated[bool, typer.Option("--special", help="Read special tokens that the text spells.")] = False,
) -> None:
    """Show how a text is cut in tokens: one id and piece a line."""
    given = _given_text(text, None)
    encoder = _load_tokenizer(model, tokenizer)
    if decode:
        write(encoder.decode([_as_id(word) for word in given.replace(",", " ").split()], skip_special=False) + "\n")
        return
    found = encoder.encode(given, bos=bos, allow_special=special)
    if ids:
        write(" ".join(map(str, found)) + "\n")
        return
    for id_ in found:
        write(f"{id_:>6}  {json.dumps(encoder.token_text(id_), ensure_ascii=False)}\n")
    note(f"{len(found)} tokens for {len(given)} characters, {len(given.encode())} bytes")


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="A size (7B, 13B, 34B, 70B …), a known name, a file or a folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Shapes, parameters, memory and KV cache of a model; a named size needs no weights."""
    from .checkpoints.hub import locate
    from .checkpoints.loading import load_checkpoint
    from .config import NAMED_CONFIGS, named_config
    from .info import describe, describe_text, human_bytes, stored_formats

    path = Path(model) if Path(model).exists() else locate(model)
    if path is None and model.lower() in {name.lower() for name in NAMED_CONFIGS}:
        config = named_config(model)
        write(json.dumps(describe(config), indent=2) + "\n" if as_json else describe_text(config, model) + "\n")
        return
    if path is None:
        raise ValueError(
            f"{model!r} is neither a file, nor a model that was fetched (minillama pull {model}), nor a size; "
            f"sizes: {', '.join(NAMED_CONFIGS)}"
        )
    checkpoint = load_checkpoint(path)
    formats = stored_formats(checkpoint.params)
    if as_json:
        found = {"path": str(path), "format": checkpoint.format, "stored": formats, **describe(checkpoint.config)}
        write(json.dumps(found, indent=2) + "\n")
        return
    write(describe_text(checkpoint.config, f"{path}: {checkpoint.format}") + "\n\n  stored\n")
    for name, (count, size) in formats.items():
        write(f"    {name:8} {count:>4} tensors  {human_bytes(size):>12}\n")


@app.command()
def models() -> None:
    """List the models known by name, and which of them are on this machine."""
    from .checkpoints.hub import KNOWN_MODELS, cached_models

    cached = {model.known.name: model for model in cached_models()}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    for name, known in KNOWN_MODELS.items():
        here = "here" if name in cached else ""
        line = f"{name:22} {known.n_bytes / 1e6:>8,.0f} MB  {here:4}  {known.description} ({known.licence})"
        write((line if len(line) <= width else line[: width - 1] + "…") + "\n")
    for name, model in cached.items():
        note(f"{name}: {model.path}")


@app.command()
def pull(name: Annotated[str, typer.Argument(help="A name from `minillama models`.")]) -> None:
    """Fetch a model once; it is verified and kept for every later run. Prints its path."""
    from .checkpoints.hub import fetch

    with download_bar() as progress:
        path = fetch(name, progress=progress)
    write(f"{path}\n")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A known name, a file or a folder.")],
    target: Annotated[Path, typer.Argument(help="NAME.gguf, NAME.bin (llama2.c) or a folder.")],
    to: Annotated[
        str | None,
        typer.Option("--to", help="Precision of the matrices: F32, F16, BF16, Q8_0, Q4_0 …; as stored if not given."),
    ] = None,
    folder_format: Annotated[
        str, typer.Option("--format", help="For a folder: minillama or huggingface.")
    ] = "minillama",
    version: Annotated[
        int, typer.Option("--version", min=0, max=2, help="For llama2.c: 0, 1 (float32) or 2 (int8).")
    ] = 1,
    tokenizer: TokenizerFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a model in another format; the ending of the target decides which."""
    from .checkpoints.convert import convert_checkpoint

    with download_bar() as progress:
        written = convert_checkpoint(
            source,
            target,
            to=to,
            folder_format=folder_format,
            version=version,
            tokenizer=tokenizer,
            force=force,
            progress=progress,
        )
    for path in written:
        write(f"{path}\n")
    if target.suffix == ".gguf" and _strips_spaces(target):
        note("the tokenizer of this model removes extra spaces; llama.cpp does not, and gives other ids there")


@app.command()
def doctor() -> None:
    """Check this machine: Python, NumPy, Numba, CPU, threads, cache, optional packages."""
    from .doctor import diagnose

    findings = diagnose()
    for finding in findings:
        write(f"{'ok  ' if finding.ok else 'FIX '} {finding.what:16} {finding.found}\n")
        if finding.advice:
            write(f"     {'':16} → {finding.advice}\n")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


register_bench(app)
register_data(app)
register_learn(app)
register_train(app)


# --- shared by the commands -------------------------------------------------------------


def _strips_spaces(path: Path) -> bool:
    from .checkpoints.gguf import read_gguf_header

    return bool(read_gguf_header(path).metadata.get("tokenizer.ggml.remove_extra_whitespaces"))


def _given_text(text: str | None, prompt: str | None) -> str:
    """The text from the argument, the option or a pipe; exactly one of them."""
    if text is not None and prompt is not None:
        raise ValueError("the text was given twice: as an argument and with --prompt")
    given = text if text is not None else prompt
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise ValueError('there is no text: give it in quotes ("Once upon a time") or through a pipe')
    try:
        return sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"stdin is not UTF-8 text: {error}") from error


def _as_id(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a token id; --decode takes integers") from None


def _sampling(temperature: float, top_k: int, top_p: float, min_p: float, repetition_penalty: float) -> Any:
    from .sampling import Sampling

    return Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty
    )


def _load(model: str, tokenizer: Path | None, threads: int | None, ops: OpsName, kv_cache: KVName) -> LLM:
    from .llm import load
    from .ops import NAMED_OPS

    with download_bar() as progress:
        return load(
            model,
            tokenizer=tokenizer,
            threads=threads,
            ops=NAMED_OPS[ops.value],
            kv_dtype=kv_cache.value,
            progress=progress,
        )


def _load_tokenizer(model: str, tokenizer: Path | None) -> Any:
    from .checkpoints.hub import resolve
    from .checkpoints.loading import load_checkpoint, tokenizer_of
    from .tokenizers import load_tokenizer

    if tokenizer is not None and tokenizer.suffix != ".bin":
        return load_tokenizer(tokenizer)
    with download_bar() as progress:
        found = resolve(model, progress=progress)
    checkpoint = load_checkpoint(found.path)
    file = tokenizer or found.tokenizer
    own = load_tokenizer(file, vocab_size=checkpoint.config.vocab_size) if file else tokenizer_of(checkpoint)
    if own is None:
        raise ValueError(f"{model} carries no tokenizer: give --tokenizer FILE")
    return own


def main() -> None:
    """Entry point: run a command, with errors as one sentence and an exit code."""
    from .checkpoints.downloads import DownloadError

    try:
        code = app(standalone_mode=False) or 0
    except KeyboardInterrupt:
        code = 130
    except typer.Exit as exit_:
        code = exit_.exit_code
    except (ValueError, DownloadError, OSError, MemoryError) as error:
        code = fail(str(error) or type(error).__name__)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a wrong option: typer's own
            raise
        code = fail(error.format_message() + " (see --help)", getattr(error, "exit_code", 2))
    sys.exit(code)


if __name__ == "__main__":
    main()
