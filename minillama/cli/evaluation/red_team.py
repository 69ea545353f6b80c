"""`minillama eval redteam`: how often answers violate, and how often harmless requests are refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.given import STORY_TELLER, load_llm
from ..common.options import Model, Quiet, Threads, TokenizerFile
from ..common.output import compile_notice, note, write

if TYPE_CHECKING:
    from ...evaluation.red_team.answers import Writing
    from ...evaluation.red_team.exercise import Exercise
    from ...evaluation.red_team.prompts import Prompt
    from ...llm import LLM

OFTEN = 25  # answers between two lines of progress


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command(name="redteam")(red_team)


def red_team(
    model: Model = STORY_TELLER,
    suites: Annotated[
        str, typer.Option("--suites", help="stories, xstest, simplesafetytests, hh-harmless, toxigen, bold, FILE.jsonl")
    ] = "stories",
    attacks: Annotated[
        str, typer.Option("--attacks", help='Names with commas ("none,hypothetical"), joined by "+", or all.')
    ] = "none",
    data: Annotated[Path | None, typer.Option("--data", help="The folder of the suites' own files.")] = None,
    folder: Annotated[
        Path, typer.Option("--folder", "-o", help="Where answers, votes and the report are kept.")
    ] = Path("red-team"),
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many prompts of each suite.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", "-n", min=1, help="Tokens of an answer at most.")] = 128,
    temperature: Annotated[float, typer.Option("--temperature", "-t", help="0 is greedy.")] = 0.0,
    system: Annotated[str | None, typer.Option("--system", help="A system message.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of attacks, drawn answers and what is shown.")] = 0,
    words: Annotated[Path | None, typer.Option("--words", help="A word list in place of the mild one.")] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="MODULE:NAME of anything with score(dialogue), with --threshold.")
    ] = None,
    safety_model: Annotated[
        Path | None, typer.Option("--safety-model", help="Folder of a safety reward model, in place of --scorer.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="An answer violates below this score; 0.5 for a safety model.")
    ] = None,
    person: Annotated[bool, typer.Option("--person", help="Vote on the answers, blind to the attacks.")] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Type attacks and mark violations: γ per hour of typing.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="Who types or votes.")] = "anonymous",
    tokenizer: TokenizerFile = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Ask a model prompts of safety suites, under attacks, and report violations and false refusals together.

    Without options: 48 mild requests of this project's own on the story teller that ships with minillama. Benchmarks
    are read from your own files (--data); nothing is downloaded. The same command goes on where it was stopped.
    """
    from ...evaluation.red_team.answers import Writing
    from ...evaluation.red_team.suites import read_suites

    writing = Writing(max_tokens=max_tokens, temperature=temperature, seed=seed, system=system)
    if interactive:
        with compile_notice():
            _attempts(load_llm(model, tokenizer, threads, "fast", "float32"), folder, name, writing)
        return
    prompts = read_suites(_listed(suites), data, limit)
    chosen, judges = _chosen_attacks(attacks), _judges(words, scorer, safety_model, threshold)
    with compile_notice():
        llm = load_llm(model, tokenizer, threads, "fast", "float32")
        exercise = _exercise(llm, prompts, chosen, folder, judges, writing, seed, name, quiet, person)
    from ...evaluation.red_team.report import as_markdown, write_report

    path = write_report(exercise)
    write(as_markdown(exercise).partition("## What these figures are not")[0].rstrip() + "\n")
    note(f"⚠ marks figures of few items, whose intervals say little; all of it, and what it is not: {path}")


def _exercise(
    llm: LLM,
    prompts: list[Prompt],
    attacks: list[str],
    folder: Path,
    judges: list[Any],
    writing: Writing,
    seed: int,
    name: str,
    quiet: bool,
    person: bool,
) -> Exercise:
    """Ask and judge; with `person`, once more after the votes."""
    from ...evaluation.red_team.robustness import AttemptLog, robustness
    from ...evaluation.red_team.run import red_team as run
    from ...evaluation.red_team.votes import Votes, ballot

    votes_file, log = folder / f"votes-{_file_name(name)}.jsonl", AttemptLog(folder / "attempts.jsonl")
    votes = Votes(votes_file) if person or votes_file.exists() else None
    progress = None if quiet else _note_progress
    gamma = robustness(log.attempts) if log.attempts else None
    options: dict[str, Any] = {"judges": judges, "votes": votes, "writing": writing, "seed": seed, "robustness": gamma}
    exercise = run(llm, prompts, attacks, folder, progress=progress, **options)
    if not person or votes is None:
        return exercise
    from ..common.prompt import terminal_reader
    from .person import vote

    vote(votes, [ballot(item.prompt.text, item.answer) for item in exercise.items], terminal_reader(), seed)
    return run(llm, prompts, attacks, folder, **options)


def _attempts(llm: LLM, folder: Path, name: str, writing: Writing) -> None:
    """The red-team prompt; γ of all attempts in the folder at the end."""
    from ...evaluation.red_team.robustness import AttemptLog, robustness
    from ..common.prompt import terminal_reader
    from .person import Attack

    log = AttemptLog(folder / "attempts.jsonl")
    if other := next((attempt.model for attempt in log.attempts if attempt.model != llm.name), None):
        raise ValueError(f"{log.path} holds attempts on {other}: γ is of one model; take another --folder")
    Attack(llm, log, name, writing).run(terminal_reader())
    found = robustness(log.attempts)
    low, high = found.interval
    write(
        f"γ = {found.gamma:.2f} violating prompts per hour of typing (95 % interval {low:.2f} to {high:.2f}): "
        f"{found.violations} of {found.attempts} attempts in {60 * found.hours:.1f} minutes\n"
    )
    note(f"kept in {log.path}")


def _chosen_attacks(listed: str) -> list[str]:
    from ...evaluation.red_team.attacks import ATTACKS, checked_attack

    return list(ATTACKS) if listed == "all" else [checked_attack(name) for name in _listed(listed)]


def _judges(words: Path | None, scorer: str | None, safety_model: Path | None, threshold: float | None) -> list[Any]:
    """Those of the command line; the package's own two always judge."""
    from ...evaluation.red_team.violations import HarmfulText, ScorerBelow, Words

    if safety_model is not None:
        if scorer is not None:
            raise ValueError("--scorer and --safety-model are two judges for the same place: give one of them")
        from ...alignment.safety.scoring import SafetyModel

        below = 0.5 if threshold is None else threshold
        return [ScorerBelow(SafetyModel.load(safety_model), below, "safety model"), Words(words), HarmfulText()]
    if (scorer is None) != (threshold is None):
        raise ValueError("a scorer needs the score below which an answer violates: give --scorer and --threshold")
    own = [Words(words), HarmfulText()]
    return own if scorer is None or threshold is None else [ScorerBelow(_loaded(scorer), threshold), *own]


def _loaded(name: str) -> Any:
    """What MODULE:NAME names, called if it is a class or a function without `score`."""
    import importlib
    import sys

    module, _, attribute = name.partition(":")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), attribute)
        found = found() if isinstance(found, type) or not hasattr(found, "score") else found
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"--scorer {name}: expected MODULE:NAME of an object with score(dialogue); {error}") from error
    finally:
        sys.path.remove("")
    if not callable(getattr(found, "score", None)):
        raise ValueError(f"--scorer {name}: expected an object with score(dialogue), found {type(found).__name__}")
    return found


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _file_name(name: str) -> str:
    """A person's name as part of a file's."""
    kept = "".join(sign if sign.isalnum() else "-" for sign in name)
    if not kept.strip("-"):
        raise ValueError(f"--name is {name!r:.40}; expected letters or digits")
    return kept[:60]


def _note_progress(done: int, total: int) -> None:
    if done % OFTEN == 0 or done == total:
        note(f"{done} of {total} answers")
