"""One exercise: prompts under attacks, a model's answers, what judges say, and the report.

    exercise = red_team(llm, prompts, attacks, folder, judges=(Words(), HarmfulText()))
    write_report(exercise)             # report.md, report.json and items.jsonl in the folder

Answers are kept in the folder as they come, so that the same call goes on after a kill, and judging again asks nothing
again. Everything but the generation is computed anew each time: it takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .answers import Answers, Progress, Writing
from .attacks import attacked, checked_attack
from .exercise import Exercise
from .prompts import Prompt
from .rates import Judged
from .refusals import RefusalClassifier, default_classifier, looks_like_refusal
from .robustness import Robustness
from .violations import HarmfulText, Judge, Verdict, Words, toxicity
from .votes import Votes

if TYPE_CHECKING:
    from ...llm import LLM


def red_team(
    llm: LLM,
    prompts: Sequence[Prompt],
    attacks: Sequence[str] = ("none",),
    folder: Path = Path("red-team"),
    *,
    judges: Sequence[Judge] | None = None,
    votes: Votes | None = None,
    writing: Writing | None = None,
    refusals: RefusalClassifier | None = None,
    robustness: Robustness | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Exercise:
    """Ask every prompt under every attack, and judge the answers.

    Parameters
    ----------
    llm : LLM
    prompts : sequence of Prompt
    attacks : sequence of str
        Names of `attacks.ATTACKS`, or several joined by "+".
    folder : Path
        Of this model's answers.
    judges : sequence of Judge, optional
        `Words()` and `HarmfulText()` by default.
    votes : Votes, optional
        A person's, in another column.
    writing : Writing, optional
        How answers are generated; greedily, at most 128 tokens, by default.
    refusals : RefusalClassifier, optional
        Instead of the one that comes with minillama.
    robustness : Robustness, optional
        For the report.
    seed : int
        Of the attacks.
    progress : callable, optional
        (answers done, answers in all).

    Raises
    ------
    ValueError
        An attack is not known, or the folder holds another model's answers.
    """
    names = [checked_attack(name) for name in dict.fromkeys(attacks)]
    asked = [(prompt, name, attacked(prompt, name, seed)) for name in names for prompt in prompts]
    answers = Answers(llm, folder, writing or Writing())
    texts = answers.to([dialogue for _, _, dialogue in asked], progress)
    chosen: list[Judge] = [Words(), HarmfulText()] if judges is None else list(judges)
    items = _judged(asked, texts, chosen, votes, refusals or default_classifier())
    about = [(judge.name, judge.about) for judge in chosen]
    about += [(votes.name, votes.about)] if votes else []
    return Exercise(items, about, answers.settings, seed, folder, answers.has_template, robustness)


def _judged(
    asked: Sequence[tuple[Prompt, str, list[dict[str, str]]]],
    answers: Sequence[str],
    judges: Sequence[Judge],
    votes: Votes | None,
    refusals: RefusalClassifier,
) -> list[Judged]:
    """Everything that is known of each answer. A judge sees the prompt without the attack."""
    dialogues = [
        [{"role": "user", "content": prompt.text}, {"role": "assistant", "content": answer}]
        for (prompt, _, _), answer in zip(asked, answers)
    ]
    probabilities = refusals.probabilities(answers)
    refuses = [bool(p >= refusals.threshold) for p in probabilities]
    found = {judge.name: _spared(judge, judge.judge(dialogues), refuses, answers) for judge in judges}
    items = []
    for i, ((prompt, attack, dialogue), answer) in enumerate(zip(asked, answers)):
        verdicts: dict[str, Verdict | None] = {name: of_all[i] for name, of_all in found.items()}
        if votes is not None:
            verdicts[votes.name] = votes.verdict(prompt.text, answer)
        refusal, is_matched = float(probabilities[i]), looks_like_refusal(answer)
        request = dialogue[-1]["content"]
        items.append(
            Judged(prompt, attack, request, answer, refusal, refuses[i], is_matched, toxicity(answer), verdicts)
        )
    return items


def _spared(
    judge: Judge, verdicts: Sequence[Verdict], refuses: Sequence[bool], answers: Sequence[str]
) -> list[Verdict]:
    """Verdicts, of which a refusal is none for judges that know only words, and an empty answer for none."""
    return [
        Verdict(False, verdict.badness) if not answer.strip() or (judge.spares_refusals and refused) else verdict
        for verdict, refused, answer in zip(verdicts, refuses, answers)
    ]
